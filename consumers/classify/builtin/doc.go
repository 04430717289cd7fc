// Package builtin sorts documents into topics offline: no server, no language
// model, no call outside the process.
//
// # How it decides
//
//  1. The text is split into words ([Classifier.Classify] reads the first 64 KiB and at most
//     4,000 words other than stop words). Each is reduced to its stem, and its weight is taken
//     from its rank in a table of word frequencies by Zipf's law, in place of the inverse
//     document frequency of a corpus.
//  2. Each topic's name, keywords and description become a list of words and phrases. These
//     profiles are cached by the topic's content.
//  3. The topic is compared with the document in two ways, each giving several kinds of
//     [Evidence]: as words and phrases, by BM25 with the topic as the query; and as meaning, by
//     the cosine of mean word vectors (package vectors) of the topic and of the text, of its
//     opening, and of its most telling words one by one.
//  4. Documents that the user has sorted by hand are compared in the same two ways. The direction
//     that tells a topic's examples from those of the others is a linear discriminant; stems are
//     compared as weighted bags, by nearest neighbors and by centroid. An example stores numbers,
//     never text.
//  5. A weighted sum of the evidence puts the topics in order; a logistic regression of the
//     evidence and the lead over the next topic gives the confidence.
//  6. A topic is chosen if its confidence is at least [MinConfidence]. A document gets at most
//     three topics, and none if none is certain enough.
//
// Topic names alone work; keywords make the answers better. Stems and vectors are those of
// English: a topic in another language is found if its own words occur in the text.
//
// # Sources
//
// BM25: Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009. Word vectors: GloVe,
// Pennington, Socher and Manning, 2014, with the mean removed as in Mu and Viswanath,
// "All-but-the-Top", 2018. Stems: the Snowball stemmer for English. Discriminant with a diagonal
// covariance: Dudoit, Fridlyand and Speed, 2002. Order: a conditional logit (McFadden, 1974). The
// weights (weights.go) and the background direction (background.go) are fitted on labeled
// documents by bench/fit.
package builtin
