// Package ai defines the requests to and the answers of classification providers. A request
// contains a document's text and the topics to choose from, and an answer contains the chosen
// topics.
//
// The packages ollama, openai and anthropic below this one, and consumers/classify/builtin,
// implement providers. The interface that they implement is declared by the packages that call
// them.
package ai

// Topic is a topic that a document can be assigned to.
type Topic struct {
	// ID identifies the topic in the answer. It is opaque to a provider.
	ID string
	// Name is the topic's name, such as "bank statements".
	Name string
	// Description describes in a sentence or two which documents belong to the topic; may be empty.
	Description string
	// Keywords are words or short phrases that occur in such documents; may be empty.
	Keywords []string
	// Examples are the values of [Answer.Example] for documents that the user has assigned to this
	// topic. Only providers that learn from examples read them.
	Examples [][]byte
}

// Request is a request for the topics of one document.
type Request struct {
	// Model is the provider's name of the model. A provider with a single model ignores it. The other
	// providers require it.
	Model string
	// SystemPrompt is the instruction for a language model. Providers without one ignore it.
	SystemPrompt string
	// Filename is the name under which the document was uploaded; untrusted.
	Filename string
	// Text is the document's plain text in UTF-8; untrusted. Providers truncate it to the length that
	// they support.
	Text string
	// Topics are the topics to choose from, in any order.
	Topics []Topic
}

// Choice is a topic that fits the document.
type Choice struct {
	// TopicID is the ID of one of the request's topics.
	TopicID string
	// Confidence is the probability that the topic is right, in percent from 0 to 100.
	Confidence int
	// Words are words and phrases of the document that speak for the topic, the most important first,
	// or one sentence of it. Examples are the indexes of the most similar ones of the topic's
	// examples, the most similar first. Both may be empty.
	Words    []string
	Examples []int
}

// Answer is the result of a classification.
type Answer struct {
	// Choices are the topics that fit, with the highest confidence first and without duplicates. It is
	// empty if no topic fits.
	Choices []Choice
	// Suggested are names for new topics; often empty.
	Suggested []string
	// Example is data about the document that the provider can learn from if the user assigns its
	// topics. It contains numbers and never text of the document. Providers that do not learn leave it
	// empty.
	Example []byte
	// Provider and Model are the provider and the model that gave the answer.
	Provider, Model string
}
