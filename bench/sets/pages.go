package sets

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/net/html"

	"intray/infra/ai"
)

var pageTopics = []ai.Topic{
	topic("programming", "programming", "How software is written, tested and run.",
		"code, developer, JavaScript, API, function, software, server, compiler, bug, database, "+
			"repository, framework, protocol"),
	topic("technology", "technology", "Devices, computers, browsers and the companies that make them.",
		"computer, browser, Firefox, Apple, iPhone, Linux, hardware, device, internet, Facebook, "+
			"Raspberry Pi, headset, privacy"),
	topic("games", "video games", "Games for consoles and computers.",
		"game, player, Minecraft, Nintendo, Xbox, PlayStation, console, multiplayer, boss, gameplay, "+
			"gaming, level"),
	topic("politics", "politics", "Governments, elections, wars and laws.",
		"president, government, minister, election, Obama, Trump, military, parliament, law, "+
			"sanctions, coup, police, vote"),
	topic("business", "business and money", "Companies, markets, public and private money.",
		"economy, shareholders, debt, interest rates, company, income, tax, investors, market, "+
			"money, deal, spending"),
	topic("health", "health", "Illness, medicine and the body.",
		"disease, doctor, patients, hospital, bacteria, allergy, brain, treatment, symptoms, "+
			"infection, diet, antibiotics"),
	topic("science", "science and nature", "Mathematics, physics, space, animals and research.",
		"scientists, physics, mathematics, matrix, theory, whale, space, planet, experiment, "+
			"research, species, NASA, chaos"),
	topic("entertainment", "books and films", "Novels, films, television and the people in them.",
		"film, movie, actor, novel, story, chapter, director, Star Wars, Netflix, Oscar, cinema, "+
			"character"),
	topic("home", "home and garden", "How to do things around the house.",
		"plants, soil, garden, party, decorations, kitchen, recipe, buy, how to, container, guests, "+
			"budget"),
}

// pagesOf lists the test pages of each topic. The topics were assigned manually, by the pages'
// titles. Pages in other languages and pages without a subject are left out.
var pagesOf = map[string]string{
	"programming": "001 002 blogger dropbox-blog firefox-nightly-blog google-sre-book-1 ietf-1 " +
		"lazy-image-1 links-in-tables mercurial toc-missing v8-blog wordpress",
	"technology": "aclu cnet iab-1 lwn-1 mozilla-1 mozilla-2 simplyfound-1 " +
		"table-style-attributes theverge wikipedia",
	"games":         "ars-1 engadget keep-tabular-data lazy-image-2 msn tumblr yahoo-1",
	"politics":      "bbc-1 breitbart herald-sun-1 nytimes-1 telegraph wapo-1 wapo-2",
	"business":      "cnn nytimes-2 nytimes-4 salon-1",
	"health":        "buzzfeed-1 medicalnewstoday webmd-1 webmd-2",
	"science":       "guardian-1 quanta-1 wikipedia-3 yahoo-2",
	"entertainment": "archive-of-our-own clean-links tmz-1 videos-1 wikia",
	"home":          "ehow-1 ehow-2 lifehacker-working",
}

// Pages reads the folder test-pages of the Go module go-readability. It contains web pages as they
// were published, including navigation, advertisements and other text around the article. HTML
// entities are not decoded.
func Pages(folder string) (Set, error) {
	set := Set{Name: "pages", Topics: pageTopics}
	for _, t := range pageTopics {
		for name := range strings.FieldsSeq(pagesOf[t.ID]) {
			page, err := os.ReadFile(filepath.Join(folder, name, "source.html"))
			if err != nil {
				return Set{}, fmt.Errorf("read web pages: %w", err)
			}
			set.Documents = append(set.Documents, Document{Topic: t.ID, Text: visibleText(page)})
		}
	}
	return set, nil
}

// hidden are the elements whose text a browser does not show.
var hidden = []string{"script", "style", "noscript", "template", "svg", "textarea", "select"}

// visibleText returns the title of a page and the text that a browser shows.
func visibleText(page []byte) string {
	var b strings.Builder
	tokens, inside := html.NewTokenizer(bytes.NewReader(page)), ""
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			return b.String()
		case html.TextToken:
			if inside == "" {
				b.Write(tokens.Text())
			}
		case html.StartTagToken:
			if name, _ := tokens.TagName(); inside == "" && slices.Contains(hidden, string(name)) {
				inside = string(name)
			}
			b.WriteByte(' ')
		case html.EndTagToken:
			if name, _ := tokens.TagName(); string(name) == inside {
				inside = ""
			}
			b.WriteByte(' ')
		}
	}
}
