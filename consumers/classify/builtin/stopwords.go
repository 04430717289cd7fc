package builtin

import "strings"

// stopWords are English words that do not distinguish topics: articles, pronouns, prepositions,
// conjunctions, auxiliaries, and the parts into which an apostrophe splits contractions.
var stopWords = func() map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(`
a about above across after again against all almost along already also although always am among an
and another any anyone anything are aren around as at away be became because become been before
being below between both but by can cannot could couldn d did didn do does doesn doing don done
down during each either else enough etc even ever every few for from further get gets got had hadn
has hasn have haven having he hence her here hers herself him himself his how however i if in
indeed instead into is isn it its itself just ll m made make makes many may maybe me might mine
more most much must my myself neither never no nor not nothing now of off often on once one only
onto or other others otherwise our ours ourselves out over own per perhaps please quite rather re
s same several shall shan she should shouldn since so some something such t than that the their
theirs them themselves then there thereby therefore these they this those though through thus to
together too toward towards two under until up upon us use used uses using ve very via was wasn
way we well were weren what whatever when whenever where whether which while who whoever whole
whom whose why will with within without won would wouldn yes yet you your yours yourself
yourselves`) {
		set[word] = true
	}
	return set
}()
