package extract

import (
	"strings"
	"testing"
)

func TestXMLAttributes(t *testing.T) {
	t.Parallel()
	e := setup(t, Config{})
	for name, c := range map[string]struct{ content, want string }{
		"invoice": {
			`<invoice id="8f3a-77" xmlns="http://example.com/a b" number="2024-117" dueDate="2024-07-01">` +
				`<customer name="Jane Roe" href="https://example.com/jane"/>` +
				`<item title="Water bill" amount="40.00" unit="EA"/>` +
				`<item title='Sewage &amp; waste' amount="12.50" taxed="true"/></invoice>`,
			"invoice number due Date\ncustomer name Jane Roe\nitem title Water bill amount\n" +
				"Sewage & waste",
		},
		"values that repeat": {
			`<log><e state="Delivered"/><e state="Delivered"/></log>`, "log\ne state Delivered",
		},
		"UBL": {
			`<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2">` +
				`<ID schemeName="Number of the seller">7</ID><PayableAmount currencyID="EUR">5` +
				`</PayableAmount></Invoice>`,
			"Invoice\nID 7\nPayable Amount 5",
		},
		"POM": {
			`<project xsi:schemaLocation="http://maven.apache.org/POM/4.0.0 http://maven.apache.org/` +
				`xsd/maven-4.0.0.xsd" xmlns:xsi="x"><name combine.children="Append">Billing</name>` +
				`<artifactId>billing-core</artifactId></project>`,
			"project\nname Billing\nartifact Id billing-core",
		},
		"Ant": {
			`<project name="billing" default="dist" basedir="."><property name="src" location="src/main"/>` +
				`<target name="dist" depends="compile" description="Build the archive">` +
				`<jar jarfile="${dist}/lib.jar" basedir="${build}"/></target></project>`,
			"project\nproperty\ntarget description Build the archive\njar",
		},
		"Excel 2003": {
			`<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"><Style ss:ID="s21" ` +
				`ss:Name="Normal"/><Worksheet ss:Name="Budget"><Data ss:Type="String">Rent and ` +
				`heating</Data><Data ss:Type="Number">40</Data></Worksheet></Workbook>`,
			"Workbook\nWorksheet\nData Rent and heating\n40",
		},
		"drawing": {
			`<drawing xmlns="urn:d"><path d="M 0 0 L 10 10 Z" style="fill: none; color: black" ` +
				`class="thin line" stroke="black" transform="rotate(45)" id="pathOne"/></drawing>`,
			"drawing",
		},
		"app": {
			`<LinearLayout xmlns:android="urn:a" android:layout_width="match_parent" ` +
				`android:id="@+id/root"><Button android:text="Sign in" android:textAppearance=` +
				`"?android:attr/textAppearanceLarge"/></LinearLayout>`,
			"Linear Layout\nButton text Sign in",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := extractBytes(e, []byte(`<?xml version="1.0"?>`+c.content))
			if err != nil || got.Text != c.want || got.Kind != "text/xml" {
				t.Errorf("got %+v, %v\nwant %q", got, err, c.want)
			}
		})
	}
}

func TestIsProse(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"Water bill", "rent for May", "Insurance", "Invoice 2024-117", "Müller GmbH", "水费",
		"O'Neill", "Dear Ann,", "счёт за воду",
	} {
		if !isProse(value) {
			t.Errorf("%q: got false, want true", value)
		}
	}
	for _, value := range []string{
		"", "EUR", "none", "40.00", "2024-07-01", "x17", "dueDate", "urn:oasis:names", "a_b",
		"https://example.com/Water bill", "${src}/main", "0 0 100 100", "d41d8cd98f00b204",
		"com.example.Main", "#ff0000", "M 0 0 L 1 1", "translate(10 20)", "xMidYMid meet",
	} {
		if isProse(value) {
			t.Errorf("%q: got true, want false", value)
		}
	}
}

// The time is proportional to the length of the page.
func BenchmarkXMLAttributes(b *testing.B) {
	page := "<a>" + strings.Repeat(`<b title="Water bill" id="x" n="40"/>`, 100_000) + "</a>"
	b.SetBytes(int64(len(page)))
	for b.Loop() {
		r := &reading{text: newText(1 << 20)}
		if _, err := r.readXML(b.Context(), kind{"text/xml", formatXML}, page); err != nil {
			b.Fatal(err)
		}
	}
}
