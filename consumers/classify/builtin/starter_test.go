package builtin_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"intray/infra/ai"
)

// starter is a set of topics that a household or small office may use.
var starter = []ai.Topic{
	topic("invoices", "Invoices", "Bills that ask for payment for goods or services.", `
		invoice, invoice number, bill to, amount due, due date, payment terms, subtotal, VAT,
		unit price, quantity, purchase order, customer number, net amount`),
	topic("contracts", "Contracts",
		"Agreements between parties with rights and duties: leases, services, employment, sales.", `
		contract, agreement, parties, hereby, clause, termination, liability, confidentiality,
		governing law, effective date, landlord, tenant, lease, signed, obligations, indemnify`),
	topic("receipts", "Receipts", "Proof of what was bought and paid in a shop or restaurant.", `
		receipt, cashier, change, cash, total, subtotal, card, items, store, register, till,
		thank you for shopping, refund, visa`),
	topic("bank-statements", "Bank statements",
		"Movements and balance of a bank account over a period.", `
		account statement, opening balance, closing balance, beginning balance, ending balance,
		deposits, withdrawals, transaction, account number, sort code, direct debit, overdraft,
		statement period, ATM, branch`),
	topic("tax", "Tax", "Tax returns, assessments and letters of the tax office.", `
		tax return, taxable income, taxpayer, income tax, deduction, tax year,
		Internal Revenue Service, HMRC, assessment, refund, withholding, filing status,
		self assessment, revenue`),
	topic("insurance", "Insurance", "Insurance policies, certificates, premiums and claims.", `
		insurance, policy, policyholder, premium, claim, coverage, insurer, deductible, insured,
		excess, beneficiary, cover, renewal, accident`),
	topic("payslips", "Payslips", "What an employer paid an employee, and what was deducted.", `
		payslip, pay stub, gross pay, net pay, salary, deductions, employee, employer, pay period,
		earnings, overtime, payroll, pension contribution, year to date, national insurance,
		hours worked`),
	topic("letters", "Letters", "Personal and business letters.", `
		dear, sincerely, yours faithfully, regards, letter, writing to you, look forward, enclosed,
		thank you for your letter, re`),
	topic("reports", "Reports", "Reports, studies and analyses with findings.", `
		report, summary, executive summary, findings, analysis, conclusions, recommendations, results,
		methodology, figure, table, introduction, appendix, study, annual report`),
	topic("manuals", "Manuals", "Instructions for installing, using and repairing things.", `
		manual, instructions, user guide, installation, troubleshooting, warning, caution,
		press the button, safety, maintenance, step, setup, handbook, quick start, specifications,
		how to`),
	topic("meeting-notes", "Meeting notes", "Minutes and notes of meetings.", `
		meeting, minutes, agenda, attendees, action items, discussion, agreed, next meeting, apologies,
		present, chair, motion, adjourned, quorum, decisions`),
	topic("cvs", "CVs", "Curricula vitae and resumes of people who apply for jobs.", `
		curriculum vitae, resume, CV, work experience, education, skills, employment history,
		references, qualifications, university, degree, languages, career, profile, position`),
}

// topic returns a topic. Its keywords are separated by commas and may be on several lines.
func topic(id, name, description, keywords string) ai.Topic {
	t := ai.Topic{ID: id, Name: name, Description: description}
	for keyword := range strings.SplitSeq(keywords, ",") {
		t.Keywords = append(t.Keywords, strings.TrimSpace(keyword))
	}
	return t
}

// namesOnly returns the topics without descriptions and keywords.
func namesOnly(topics []ai.Topic) []ai.Topic {
	named := make([]ai.Topic, len(topics))
	for i, t := range topics {
		named[i] = ai.Topic{ID: t.ID, Name: t.Name}
	}
	return named
}

// samples returns the texts in a folder of testdata by their names.
func samples(t testing.TB, folder string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", folder, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples in %s: %v", folder, err)
	}
	texts := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[strings.TrimSuffix(filepath.Base(file), ".txt")] = string(text)
	}
	return texts
}

// topicOf returns the topic of a sample in testdata/fits: its name up to the last dash.
func topicOf(sample string) string { return sample[:strings.LastIndexByte(sample, '-')] }
