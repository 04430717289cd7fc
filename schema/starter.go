package schema

import "strings"

// StarterTopics are the system topics that are added to a new database, so that the first documents
// can be classified. Their keywords are in English, German, French, Spanish, Italian, Dutch,
// Portuguese, Polish and Russian.
var StarterTopics = []Topic{
	{
		Name: "Invoices", Description: "Bills that ask for payment for goods or services",
		Keywords: keywords(`
			invoice, invoice number, amount due, due date, payment terms, bill to, subtotal, VAT, unit
			price, net 30,
			Rechnung, Rechnungsnummer, Rechnungsbetrag, MwSt, Nettobetrag, zahlbar,
			facture, TVA, montant HT, net à payer, échéance,
			factura, IVA, base imponible, total a pagar, vencimiento,
			fattura, imponibile, partita IVA, totale da pagare,
			factuur, factuurnummer, btw, totaal te betalen,
			fatura, nota fiscal, valor a pagar, NIF,
			faktura, faktura VAT, do zapłaty, termin płatności, kwota netto,
			счёт на оплату, счёт-фактура, НДС, к оплате, срок оплаты`),
	},
	{
		Name: "Receipts", Description: "Proof of a payment already made",
		Keywords: keywords(`
			receipt, paid, cash, card, change, store, cashier, thank you for your purchase, transaction,
			order confirmation,
			Quittung, Kassenbon, bar bezahlt, Rückgeld, vielen Dank für Ihren Einkauf,
			ticket de caisse, reçu, espèces, carte bancaire, merci de votre visite,
			recibo, ticket de compra, efectivo, cambio, gracias por su compra,
			scontrino, ricevuta, contanti, resto, grazie per l'acquisto,
			kassabon, kwitantie, contant betaald, pinnen, wisselgeld,
			talão, troco, numerário, obrigado pela preferência,
			paragon, paragon fiskalny, gotówka, reszta, dziękujemy za zakupy,
			чек, кассовый чек, наличные, сдача, спасибо за покупку`),
	},
	{
		Name: "Contracts", Description: "Agreements between parties with terms and signatures",
		Keywords: keywords(`
			agreement, contract, parties, hereby, termination, liability, governing law, confidentiality,
			lease, tenant,
			Vertrag, Vertragsparteien, Mietvertrag, Kündigung, Haftung, Gerichtsstand,
			contrat, bail, résiliation, locataire, les soussignés,
			contrato, cláusula, arrendatario, las partes, arrendamiento,
			contratto, le parti, locazione, recesso, foro competente,
			overeenkomst, huurovereenkomst, opzegging, partijen, huurder,
			rescisão, as partes, locatário, contratante,
			umowa, strony umowy, wypowiedzenie, najemca, zobowiązuje się,
			договор, стороны договора, расторжение, арендатор, обязуется`),
	},
	{
		Name: "Bank statements", Description: "Account movements and balances from a bank",
		Keywords: keywords(`
			statement, account number, balance, opening balance, closing balance, debit, credit,
			withdrawal, deposit, IBAN,
			Kontoauszug, Kontostand, Saldo, Lastschrift, Überweisung, Gutschrift,
			relevé de compte, solde, virement, prélèvement,
			extracto de cuenta, saldo final, transferencia, movimientos, cargo,
			estratto conto, bonifico, addebito, accredito, saldo disponibile,
			rekeningafschrift, eindsaldo, overschrijving, incasso, af en bij,
			extrato de conta, saldo anterior, débito direto, levantamento,
			wyciąg z rachunku, saldo końcowe, przelew, obciążenia, wypłata,
			выписка по счёту, остаток, списание, зачисление, перевод`),
	},
	{
		Name: "Tax", Description: "Tax returns, assessments and letters from tax authorities",
		Keywords: keywords(`
			tax, tax return, income tax, assessment, deduction, taxable, revenue service, withholding,
			fiscal year, refund,
			Steuerbescheid, Finanzamt, Einkommensteuer, Steuererklärung, Steuernummer,
			impôt, impôt sur le revenu, avis d'imposition, déclaration de revenus, foyer fiscal,
			declaración de la renta, Agencia Tributaria, IRPF, impuesto, contribuyente,
			Agenzia delle Entrate, dichiarazione dei redditi, imposta, IRPEF, contribuente,
			Belastingdienst, belastingaanslag, inkomstenbelasting, aangifte, belastbaar,
			declaração de imposto, imposto de renda, autoridade tributária, IRS, imposto,
			urząd skarbowy, podatek, zeznanie podatkowe, PIT, podatnik,
			налоговая инспекция, налог, налоговая декларация, НДФЛ, налогоплательщик`),
	},
	{
		Name: "Insurance", Description: "Policies, premiums and claims",
		Keywords: keywords(`
			insurance, policy, policyholder, premium, coverage, claim, insured, deductible, insurer,
			beneficiary,
			Versicherung, Versicherungsschein, Versicherungsnehmer, Schaden, Selbstbeteiligung,
			assurance, assuré, police d'assurance, sinistre, cotisation,
			seguro, póliza, asegurado, siniestro, prima,
			polizza, assicurazione, assicurato, sinistro, premio,
			verzekering, polis, verzekeringnemer, schade, eigen risico,
			apólice, seguradora, segurado, prémio, cobertura,
			ubezpieczenie, polisa, ubezpieczony, składka, szkoda,
			страхование, страховой полис, страхователь, страховая премия, страховой случай`),
	},
	{
		Name: "Payslips", Description: "Statements of salary or wages",
		Keywords: keywords(`
			payslip, salary, wages, gross pay, net pay, employee, employer, pay period, overtime, payroll,
			Gehaltsabrechnung, Lohnabrechnung, Bruttolohn, Lohnsteuer, Sozialversicherung,
			bulletin de paie, salaire brut, salaire net, employeur, heures supplémentaires,
			recibo de nómina, salario base, devengos, seguridad social, líquido a percibir,
			busta paga, cedolino, retribuzione, stipendio lordo, INPS,
			loonstrook, salarisspecificatie, brutoloon, nettoloon, loonheffing,
			recibo de vencimento, vencimento base, segurança social, holerite, salário líquido,
			pasek wynagrodzenia, wynagrodzenie brutto, składki ZUS, lista płac, wynagrodzenie netto,
			расчётный листок, заработная плата, оклад, начислено, удержано`),
	},
	{
		Name: "CVs", Description: "Résumés and job applications",
		Keywords: keywords(`
			curriculum vitae, resume, work experience, education, skills, references, employment history,
			degree, university, cover letter,
			Lebenslauf, Berufserfahrung, Ausbildung, Kenntnisse, Bewerbung,
			expérience professionnelle, formation, compétences, langues, candidature,
			experiencia laboral, formación académica, idiomas, habilidades, currículum,
			esperienza lavorativa, istruzione e formazione, competenze, lingue, titolo di studio,
			werkervaring, opleiding, vaardigheden, talenkennis, sollicitatie,
			experiência profissional, formação académica, competências, currículo, línguas,
			życiorys, doświadczenie zawodowe, wykształcenie, umiejętności, znajomość języków,
			резюме, опыт работы, образование, навыки, владение языками`),
	},
	{
		Name: "Meeting notes", Description: "Minutes, agendas and decisions of meetings",
		Keywords: keywords(`
			meeting, minutes, agenda, attendees, action items, decision, discussion, next meeting,
			apologies, follow up,
			Protokoll, Sitzung, Tagesordnung, Teilnehmer, Beschluss,
			compte rendu, réunion, ordre du jour, participants, procès-verbal,
			acta de la reunión, orden del día, asistentes, acuerdos, próxima reunión,
			verbale, riunione, ordine del giorno, presenti, delibera,
			notulen, vergadering, aanwezig, actiepunten, besluit,
			ata da reunião, reunião, ordem de trabalhos, presentes, deliberações,
			protokół, zebranie, porządek obrad, obecni, uchwała,
			протокол, собрание, повестка дня, присутствовали, решили`),
	},
	{
		Name: "Reports", Description: "Findings, analyses and results",
		Keywords: keywords(`
			report, summary, findings, analysis, results, conclusion, annual report, recommendations,
			methodology, introduction,
			Bericht, Zusammenfassung, Ergebnisse, Jahresbericht, Schlussfolgerungen,
			rapport annuel, synthèse, résultats, conclusions, rapport d'étude,
			informe, resumen, resultados, conclusiones, recomendaciones,
			relazione, sintesi, risultati, conclusioni, raccomandazioni,
			samenvatting, resultaten, jaarverslag, conclusies, aanbevelingen,
			relatório, resumo, conclusões, recomendações, relatório anual,
			raport, sprawozdanie, wyniki, wnioski, podsumowanie,
			отчёт, выводы, результаты, анализ, рекомендации`),
	},
	{
		Name: "Manuals", Description: "Instructions for using, installing or maintaining something",
		Keywords: keywords(`
			manual, instructions, installation, user guide, warning, safety, troubleshooting, operate,
			maintenance, warranty,
			Bedienungsanleitung, Gebrauchsanweisung, Warnung, Montage, Sicherheitshinweise,
			mode d'emploi, notice d'utilisation, avertissement, entretien, consignes de sécurité,
			manual de instrucciones, advertencia, instalación, mantenimiento, puesta en marcha,
			manuale, istruzioni per l'uso, avvertenze, manutenzione, installazione,
			handleiding, gebruiksaanwijzing, waarschuwing, onderhoud, veiligheid,
			instruções de utilização, aviso, manutenção, instalação, guia do utilizador,
			instrukcja obsługi, ostrzeżenie, montaż, konserwacja, bezpieczeństwo,
			руководство по эксплуатации, инструкция, предупреждение, установка, безопасность`),
	},
	{
		Name: "Letters", Description: "Correspondence with a salutation and a closing",
		Keywords: keywords(`
			dear, sincerely, regards, yours faithfully, letter, enclosed, writing to, look forward,
			correspondence,
			sehr geehrte, sehr geehrter, mit freundlichen Grüßen, Ihr Schreiben, Kollege,
			madame monsieur, veuillez agréer, salutations distinguées, cordialement, cher confrère,
			estimado, estimada, atentamente, cordial saludo, adjunto le envío, muy señor mío,
			gentile, egregio, distinti saluti, cordiali saluti, in allegato,
			geachte, hoogachtend, met vriendelijke groet, bijlage, uw brief,
			prezado, exmo senhor, atenciosamente, melhores cumprimentos, em anexo,
			szanowny, szanowna, z poważaniem, w załączeniu, pismo,
			уважаемый, уважаемая, с уважением, письмо, прилагаем`),
	},
}

// keywords returns the keywords of a list that is separated by commas.
func keywords(list string) (keywords []string) {
	for keyword := range strings.SplitSeq(list, ",") {
		keywords = append(keywords, strings.Join(strings.Fields(keyword), " "))
	}
	return keywords
}
