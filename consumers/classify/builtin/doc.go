// Package builtin classifies documents into topics without a server, a language model or any other
// call outside the process.
//
// # How a document is classified
//
//  1. The text is split into words, which show its languages. [Classifier.Classify] reads the first
//     64 KiB and at most 4,000 words that are not stop words of these languages. Each word is
//     reduced to its stem. In place of an inverse document frequency, which needs a corpus, its
//     weight comes from its rank in a table of word frequencies, by Zipf's law. The table is for
//     English; in other languages all words have the same weight, and the vectors of their English
//     translations (package glossary).
//  2. The name, keywords and description of each topic become a list of words and phrases, the
//     topic's profile for the language of the document. If the name is that of a type of documents,
//     such as "Invoices" or "Rechnungen", the words by which the type is recognized in this
//     language are added (types). Profiles are cached by the topic's content.
//  3. The document is compared with each profile. BM25, with the topic as the query, compares
//     words, the last parts of compounds, and phrases. Cosines between word vectors (package
//     vectors) compare meanings: the topic's mean vector is compared with that of the text, with
//     that of its opening, and with the vectors of its most distinctive words one by one.
//  4. The document is compared with the examples of each topic: documents that the user has sorted
//     manually. A linear discriminant separates the vectors of a topic's examples from those of
//     other topics. Stems and the form of the text (layout) are compared as weighted bags, with
//     the nearest examples and with their centroid. An example consists of numbers and contains no
//     text.
//  5. All comparisons together are the topic's [Features]. A weighted sum of them ranks the topics.
//     A logistic regression of the features and of the lead over the other topics determines the
//     confidence.
//  6. A topic is chosen if its confidence is at least [MinConfidence]. A document is classified
//     into at most three topics, and into none if no topic reaches that confidence.
//
// Names of topics are enough; keywords improve the results. A topic may have another language than
// the document if its words are English, or if it is a type of documents.
//
// # Sources
//
// BM25: Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009. Word vectors: GloVe,
// Pennington, Socher and Manning, 2014, with the mean removed as in Mu and Viswanath,
// "All-but-the-Top", 2018. Translations: Wiktionary, in the Extended Open Multilingual Wordnet
// (Bond and Foster, 2013). Stems: the Snowball stemmers. Discriminant with a diagonal covariance:
// Dudoit, Fridlyand and Speed, 2002. Ranking: a conditional logit (McFadden, 1974). The weights
// (weights.go) and the background direction (background.go) are fitted to labeled documents by
// bench/fit.
package builtin
