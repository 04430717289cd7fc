package extract

import (
	"testing"

	"golang.org/x/text/encoding/charmap"
)

// Undeclared texts are decoded from the encodings that DOS, Windows and old Macs used for their
// languages, with the signs that people type: dashes, quotation marks, currencies, no-break spaces.
func TestEuropeanEncodings(t *testing.T) {
	t.Parallel()
	western := []*charmap.Charmap{charmap.Windows1252, charmap.CodePage858, charmap.Macintosh}
	central := []*charmap.Charmap{charmap.Windows1250, charmap.ISO8859_2, charmap.CodePage852}
	for name, c := range map[string]struct {
		encodings []*charmap.Charmap
		text      string
	}{
		"French": {western, "Relevé du mois de février\u00a0: dépôt n° 12, 1\u00a0200,00 €. " +
			"Le solde a été versé à l'école «\u00a0La Forêt\u00a0»."},
		"German": {western, "Rechnung Nr. 7 für die Straße 12: Fläche 62 qm, § 35a, Wärme 72,00 €."},
		"Spanish": {western, "Sesión del día 14: 1º Lectura, 2º Aprobación, 3ª Nómina. " +
			"¿Está la señora Núñez?"},
		"Italian":   {western, "Il comune è lieto: il 1° maggio la società pagherà € 460,00, però non di più."},
		"Icelandic": {western[:2], "Reikningur fyrir þjónustu: það þarf að greiða fyrir mánaðamót, með þökk."},
		"Norwegian": {western, "Prøven ble «godkjent» i går, og å betale er «frivillig» på øya."},
		"quotation marks": {
			[]*charmap.Charmap{charmap.Windows1252, charmap.Macintosh},
			"Die Möwe – „groß und schön“ – flog über die Dünen • 12\u00a0km",
		},
		"elisions": {
			[]*charmap.Charmap{charmap.Windows1252, charmap.Macintosh},
			"L’été où j’étais à l’hôtel, c’était déjà très cher – qu’en pensez-vous\u00a0?",
		},
		"pounds":        {western, "Balance £34.17, paid £675.00, rent £520.00, total in £957.40"},
		"marks":         {western[:1], "Intel™ Core™ and AMD® Ryzen™ processors, © Acme, © Example"},
		"euros":         {[]*charmap.Charmap{charmap.ISO8859_15}, "Totaal € 309,50, btw € 22,90, samen € 332,40"},
		"Polish":        {central, "Zamówienie: spółka Żółw, ul. Świętej Łucji, do zapłaty 120 zł. Dziękujemy!"},
		"Polish, short": {central[:2], "Łukasz, bieżące saldo"},
		"Czech":         {central[2:], "Faktura č. 7: oprava střechy, děkujeme za včasnou úhradu, Jiří Dvořák."},
		"Hungarian":     {central, "Üdvözöljük! Fizetendő összeg, fizetési határidő: június 30. Köszönjük, hogy minket választott."},
		"Slovak":        {central[2:], "Faktúra: žiadame Vás o úhradu do konca mesiaca, účet č. 7. Teší nás, ďakujeme, Ľubomír Hruška, riaditeľ."},
		"names":         {western[:1], "Málaga, Nîmes, Köln, Umeå, Genève, Forlì, Tromsø, Núñez, Liège, Åse"},
		"Czech names": {
			western[:1], "Herr Tomáš Šimek und Frau Božena wünschen für zwölf m²",
		},
		"soft hyphens": {western[:1], "Ver\u00adtrags\u00adende für das Bü\u00adro in Köln, Öl ½"},
		"frames": {
			western[1:2],
			"┌────────┬───────┐\n│ Käse   │  2,50 │\n│ süß    │  1,00 │\n└────────┴───────┘",
		},
		"Russian": {
			[]*charmap.Charmap{
				charmap.Windows1251, charmap.KOI8R, charmap.CodePage866, charmap.ISO8859_5,
			},
			"РУКОВОДСТВО ПО ЭКСПЛУАТАЦИИ ПРИБОРА. ДОГОВОР О ПОСТАВКЕ ОБОРУДОВАНИЯ.",
		},
		"Russian table": {
			[]*charmap.Charmap{charmap.CodePage866},
			"═══════════\n│ Товар │ Цена │\n───────────\n│ Стол │ 500 │\n═══════════",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, e := range c.encodings {
				if got := decode(encoded(t, e, c.text), "", false); got != c.text {
					t.Errorf("%s: got %q, want %q", e, got, c.text)
				}
			}
		})
	}
}
