package builtin

import (
	"intray/consumers/classify/builtin/vectors"
	"intray/infra/ai"
)

// TrainingWork returns the number of multiplications of the regression that is trained for the
// topics, or 0 if none is.
func TrainingWork(topics []ai.Topic) int {
	table, _ := vectors.Open()
	m := &exampleModel{background: make([]float32, table.Dims())}
	for _, t := range topics {
		topic := topicModel{id: t.ID}
		for _, e := range t.Examples {
			if parsed, ok := parseExample(e, table.Dims()); ok {
				topic.bags = append(topic.bags, parsed.bag)
			}
		}
		m.topics = append(m.topics, topic)
	}
	passes, work := m.trainingPasses()
	return passes * work
}
