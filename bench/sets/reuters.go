package sets

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"

	"intray/infra/ai"
)

var reutersTopics = []ai.Topic{
	topic("acq", "acquisitions", "Mergers and acquisitions: one company buys another or its shares.",
		"merger, acquire, takeover, shares, stake, buyout, bid, offer, shareholders, subsidiary, "+
			"tender offer"),
	topic("crude", "crude oil", "The oil market: production, prices and OPEC.",
		"crude, oil, barrel, OPEC, petroleum, production, bpd, refinery, price, Saudi Arabia"),
}

// Reuters reads the folder "texts" of the R package tm (the Debian package r-cran-tm). It contains
// 50 stories of Reuters-21578 about acquisitions and 20 about crude oil.
func Reuters(folder string) (Set, error) {
	set := Set{Name: "reuters", Topics: reutersTopics}
	for _, t := range reutersTopics {
		files, err := filepath.Glob(filepath.Join(folder, t.ID, "*.xml"))
		if err != nil || len(files) == 0 {
			return Set{}, fmt.Errorf("read Reuters stories: none in %s", filepath.Join(folder, t.ID))
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				return Set{}, err
			}
			var story struct {
				Title string `xml:"TEXT>TITLE"`
				Body  string `xml:"TEXT>BODY"`
			}
			if err := xml.Unmarshal(raw, &story); err != nil {
				return Set{}, fmt.Errorf("read %s: %w", file, err)
			}
			text := story.Title + "\n" + story.Body
			set.Documents = append(set.Documents, Document{Topic: t.ID, Text: text})
		}
	}
	return set, nil
}
