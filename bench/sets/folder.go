package sets

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"intray/infra/ai"
)

// topicsFile is the name of the file with the topics of a set in a folder.
const topicsFile = "topics.json"

// ReadFolder reads a set from a folder. It holds topics.json, an array of objects with the members
// name, description and keywords, of which the last two may be absent, and a folder for each topic,
// which is called like the topic and holds the topic's documents, one text file each. Hidden files
// are ignored. ReadFolder fails if a folder belongs to no topic.
func ReadFolder(folder string) (Set, error) {
	set, err := readFolder(folder)
	if err != nil {
		return Set{}, fmt.Errorf("read the set in %s: %w", folder, err)
	}
	return set, nil
}

func readFolder(folder string) (Set, error) {
	file, err := os.ReadFile(filepath.Join(folder, topicsFile))
	if err != nil {
		return Set{}, err
	}
	var topics []struct {
		Name        string   `json:"name"`
		Description string   `json:"description"`
		Keywords    []string `json:"keywords"`
	}
	if err := json.Unmarshal(file, &topics); err != nil {
		return Set{}, fmt.Errorf("decode %s: %w", topicsFile, err)
	}
	set, known := Set{Name: filepath.Base(folder)}, map[string]bool{}
	for _, t := range topics {
		if t.Name == "" || known[t.Name] {
			return Set{}, fmt.Errorf("%s: the name %q is empty or occurs twice", topicsFile, t.Name)
		}
		known[t.Name] = true
		set.Topics = append(set.Topics, ai.Topic{
			ID: t.Name, Name: t.Name, Description: t.Description, Keywords: t.Keywords,
		})
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return Set{}, err
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if !known[e.Name()] {
			return Set{}, fmt.Errorf("the folder %q belongs to no topic of %s", e.Name(), topicsFile)
		}
		documents, err := readDocuments(folder, e.Name())
		if err != nil {
			return Set{}, err
		}
		set.Documents = append(set.Documents, documents...)
	}
	if len(set.Documents) == 0 {
		return Set{}, fmt.Errorf("there are no documents")
	}
	return set, nil
}

// readDocuments reads the documents of a topic. Their names are left out, because they may reveal
// the topic.
func readDocuments(folder, topic string) (documents []Document, err error) {
	entries, err := os.ReadDir(filepath.Join(folder, topic))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, topic, e.Name()))
		if err != nil {
			return nil, err
		}
		documents = append(documents, Document{Topic: topic, Text: string(text)})
	}
	return documents, nil
}
