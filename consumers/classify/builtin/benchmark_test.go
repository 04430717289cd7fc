package builtin_test

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"intray/consumers/classify/builtin"
	"intray/infra/ai"
)

// longText returns a text with many different words, as long as the part of a document that is
// read.
func longText(t testing.TB) string {
	all := samples(t, "fits")
	maps.Copy(all, samples(t, "none"))
	var b strings.Builder
	for i := 0; b.Len() < 64<<10; i++ {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			for j, word := range strings.Fields(all[name]) {
				b.WriteString(word)
				if (i+j)%3 == 0 { // append a letter to make it a different word
					b.WriteByte(byte('a' + i%26))
				}
				b.WriteByte(' ')
			}
		}
	}
	return b.String()
}

func BenchmarkClassify(b *testing.B) {
	c := classifier(b)
	var german strings.Builder // with many different compounds
	for _, s := range samplesIn(b, "testdata/business/dev") {
		if s.language == "de" {
			german.WriteString(s.text + "\n")
		}
	}
	for i := 0; german.Len() < 64<<10; i++ {
		fmt.Fprintf(&german, "Vertragsgegenstand%c%cvereinbarung ", 'a'+i%26, 'a'+i/26%26)
	}
	for name, text := range map[string]string{
		"page":    samples(b, "fits")["contracts-1"],
		"longest": longText(b),
		"german":  german.String(),
	} {
		req := ai.Request{Text: text, Topics: starterTopics()}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Classify(b.Context(), req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkManyTopics classifies a page for users with many topics of 50 keywords, whose profiles
// are cached or not.
func BenchmarkManyTopics(b *testing.B) {
	text := samples(b, "fits")["contracts-1"]
	words := strings.Fields(longText(b))
	for _, n := range []int{10, 50, 100, 200, 1000} {
		for _, cached := range []bool{true, false} {
			b.Run(fmt.Sprintf("%d/cached=%t", n, cached), func(b *testing.B) {
				c := classifier(b)
				topics := make([]ai.Topic, n)
				for round := 0; b.Loop(); round++ {
					for i := range topics {
						if round > 0 && cached {
							break
						}
						topics[i] = ai.Topic{ID: fmt.Sprint(i), Name: fmt.Sprintf("topic %d %d", i, round)}
						for k := range 50 {
							at := (i*100 + k*2) % (len(words) - 2)
							topics[i].Keywords = append(topics[i].Keywords, words[at]+" "+words[at+1])
						}
					}
					if _, err := c.Classify(b.Context(), ai.Request{Text: text, Topics: topics}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if _, err := builtin.New(); err != nil {
			b.Fatal(err)
		}
	}
}

// With a cache full of large topics the heap must grow by at most 80 MB. The embedded table takes
// another 12 MB, so that the classifier takes less than 100 MB in total.
func TestMemoryIsLimitedWithManyLargeTopics(t *testing.T) {
	c, err := builtin.New()
	if err != nil {
		t.Fatal(err)
	}
	before := heapBytes()
	for i := range 4000 { // more than the cache holds
		large := ai.Topic{ID: "large", Name: fmt.Sprint("topic ", i)}
		for j := range 300 {
			large.Keywords = append(large.Keywords, fmt.Sprintf("keyword%dx%d", i, j))
		}
		c.Rank(ai.Request{Text: "contract", Topics: []ai.Topic{large}})
	}
	c.Rank(ai.Request{Text: longText(t), Topics: starter})
	grown := heapBytes() - before
	runtime.KeepAlive(c)
	t.Logf("the heap grew by %d kB", grown>>10)
	if grown > 80<<20 {
		t.Errorf("the heap grew by %d MB, want at most 80", grown>>20)
	}
}

// BenchmarkHostileTopic matches a topic that is made to be slow: each of its phrases begins at
// every word of the document.
func BenchmarkHostileTopic(b *testing.B) {
	topic := ai.Topic{ID: "hostile"}
	for i := range 128 {
		phrase := strings.Repeat("x ", 5)
		for bit := range 7 {
			phrase += string("xy"[i>>bit&1]) + " "
		}
		topic.Keywords = append(topic.Keywords, phrase[4:])
	}
	req := ai.Request{Text: strings.Repeat("x ", 5000) + "y", Topics: []ai.Topic{topic}}
	for b.Loop() {
		classifier(b).Rank(req)
	}
}

func heapBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
