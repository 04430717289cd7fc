// Package ai holds what every classification provider is asked and answers:
// a document's text and the topics it may be sorted into, and the choice that
// was made among them. The providers are the packages beside it (builtin); the
// interface they fulfill is declared by the code that calls them.
package ai

// Topic is one label a document may get.
type Topic struct {
	// ID identifies the topic in the answer. It is opaque to a provider.
	ID string
	// Name is what users call the topic, as "bank statements".
	Name string
	// Description says in a sentence or two what belongs there; may be empty.
	Description string
	// Keywords are words or short phrases that such documents use; may be empty.
	Keywords []string
	// Examples are what the provider answered as [Answer.Example] for documents that
	// the user has sorted into this topic by hand. Only providers that learn read them.
	Examples [][]byte
}

// Request asks for the topics of one document.
type Request struct {
	// Model is the provider's name of the model to use; empty means the
	// provider's own default. A provider with a single model ignores it.
	Model string
	// SystemPrompt is the instruction given to a language model. Providers that
	// have none ignore it.
	SystemPrompt string
	// Filename is the name the document was uploaded under; untrusted.
	Filename string
	// Text is the document's plain text, in UTF-8; untrusted. Providers cut it
	// to what they can read.
	Text string
	// Topics are the labels to choose from, in any order.
	Topics []Topic
}

// Choice is one topic that fits the document.
type Choice struct {
	// TopicID is the ID of one of the request's topics.
	TopicID string
	// Confidence is how likely it is, in percent, that the topic is right:
	// 0 to 100.
	Confidence int
}

// Answer is what a provider found.
type Answer struct {
	// Choices are the topics that fit, most confident first, each at most once.
	// It is empty where no topic fits: a provider abstains rather than guesses.
	Choices []Choice
	// Suggested are names for topics that the user does not have yet; often empty.
	Suggested []string
	// Example is what a provider that learns needs to know of this document should a
	// person sort it by hand: numbers, never its text. Other providers leave it empty.
	Example []byte
	// Provider and Model say who answered, for the record.
	Provider, Model string
}
