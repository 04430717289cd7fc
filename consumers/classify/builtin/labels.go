package builtin

import "strings"

const (
	// maxLabels is the number of labels that are read, and maxLabel the length of a line up to its
	// colon, in bytes.
	maxLabels = 24
	maxLabel  = 30
	// labelIDF is the idf of a label that is a stop word.
	labelIDF = 0.5
)

// labelsOf returns the labels of lines, such as "from:" in a memorandum: the last word before a
// colon, in lower case and with the colon.
func labelsOf(text string) (labels []string) {
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		if len(labels) == maxLabels {
			break
		}
		at := strings.IndexByte(line[:min(len(line), maxLabel)], ':')
		if at <= 0 {
			continue
		}
		label := ""
		words(line[:at], false, func(word []byte) bool { label = string(word); return true })
		if label += ":"; len(label) > 1 && !isNumber(label[:len(label)-1]) && !seen[label] {
			seen[label] = true
			labels = append(labels, label)
		}
	}
	return labels
}
