package schema

import "github.com/google/uuid"

// Scope distinguishes system topics from users' own topics.
type Scope string

const (
	// ScopeSystem topics have no owner. Every user sees them; only administrators change them.
	ScopeSystem Scope = "system"
	// ScopeUser topics belong to one user. Only that user sees and changes them.
	ScopeUser Scope = "user"
)

// Topic is a label that the classifier can assign to a document. Ignoring case (see FoldCase),
// names are unique among the system topics, and among the topics of each user.
type Topic struct {
	ID uuid.UUID `db:"id"`
	// UserID is nil for a system topic.
	UserID      *uuid.UUID `db:"user_id"`
	Name        string     `db:"name"`
	Description string     `db:"description"`
	Keywords    []string   `db:"keywords"`
	// Suggested reports whether an AI provider proposed the topic.
	Suggested bool `db:"suggested"`
}

// Scope returns ScopeSystem if the topic has no owner, and ScopeUser otherwise.
func (t Topic) Scope() Scope {
	if t.UserID == nil {
		return ScopeSystem
	}
	return ScopeUser
}

// DocumentTopic is the assignment of a topic to a document.
type DocumentTopic struct {
	TopicID uuid.UUID `db:"topic_id"`
	// Confidence is between 0 and 100. It is 100 if a user set the topic manually.
	Confidence int `db:"confidence"`
}

// Limits of a topic: the length of its name, description and each keyword in characters, and the
// number of its keywords.
const (
	MaxTopicName        = 40
	MaxTopicDescription = 500
	MaxTopicKeywords    = 50
	MaxTopicKeyword     = 40
)

// MaxTopics is the largest number of topics of a user, and of system topics. A document is compared
// with both, so with at most 1000 topics, which is also the limit of a prompt. The database
// enforces it when a topic is created.
const MaxTopics = 500

// StarterTopics are the system topics that are added to a new database, so that the first documents
// can be classified.
var StarterTopics = []Topic{
	{
		Name: "Invoices", Description: "Bills that ask for payment for goods or services",
		Keywords: []string{
			"invoice", "invoice number", "amount due", "due date", "payment terms", "bill to", "subtotal",
			"VAT", "total", "unit price", "quantity", "remittance", "net 30",
		},
	},
	{
		Name: "Receipts", Description: "Proof of a payment already made",
		Keywords: []string{
			"receipt", "paid", "cash", "card", "change", "store", "cashier", "thank you for your purchase",
			"transaction", "order confirmation",
		},
	},
	{
		Name: "Contracts", Description: "Agreements between parties with terms and signatures",
		Keywords: []string{
			"agreement", "contract", "party", "parties", "hereby", "terms and conditions", "termination",
			"liability", "governing law", "confidentiality", "signature", "clause", "lease", "tenant",
			"landlord",
		},
	},
	{
		Name: "Bank statements", Description: "Account movements and balances from a bank",
		Keywords: []string{
			"statement", "account number", "balance", "opening balance", "closing balance", "debit",
			"credit", "withdrawal", "deposit", "IBAN", "bank", "transfer",
		},
	},
	{
		Name: "Tax", Description: "Tax returns, assessments and letters from tax authorities",
		Keywords: []string{
			"tax", "tax return", "income tax", "assessment", "deduction", "taxable", "revenue service",
			"withholding", "fiscal year", "refund",
		},
	},
	{
		Name: "Insurance", Description: "Policies, premiums and claims",
		Keywords: []string{
			"insurance", "policy", "policyholder", "premium", "coverage", "claim", "insured", "deductible",
			"insurer", "beneficiary", "accident",
		},
	},
	{
		Name: "Payslips", Description: "Statements of salary or wages",
		Keywords: []string{
			"payslip", "salary", "wages", "gross pay", "net pay", "employee", "employer", "pay period",
			"overtime", "pension contribution", "payroll",
		},
	},
	{
		Name: "CVs", Description: "Résumés and job applications",
		Keywords: []string{
			"curriculum vitae", "resume", "work experience", "education", "skills", "references",
			"employment history", "degree", "university", "cover letter", "applicant",
		},
	},
	{
		Name: "Meeting notes", Description: "Minutes, agendas and decisions of meetings",
		Keywords: []string{
			"meeting", "minutes", "agenda", "attendees", "action items", "decision", "discussion",
			"next meeting", "chair", "apologies", "follow up",
		},
	},
	{
		Name: "Reports", Description: "Findings, analyses and results",
		Keywords: []string{
			"report", "summary", "findings", "analysis", "results", "conclusion", "quarter",
			"annual report", "figures", "recommendations", "methodology", "introduction",
		},
	},
	{
		Name: "Manuals", Description: "Instructions for using, installing or maintaining something",
		Keywords: []string{
			"manual", "instructions", "installation", "user guide", "warning", "safety", "step",
			"troubleshooting", "configuration", "operate", "maintenance", "warranty",
		},
	},
	{
		Name: "Letters", Description: "Correspondence with a salutation and a closing",
		Keywords: []string{
			"dear", "sincerely", "regards", "yours faithfully", "letter", "enclosed", "writing to",
			"look forward", "correspondence",
		},
	},
}
