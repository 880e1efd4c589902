package load

// words are common English nouns, so that most tokenizers hold each with its leading space as one
// token. Nouns only: no tokenizer is likely to hold two of them as one.
const words = `
time year people way day man thing woman life child world school state family student group country
problem hand part place case week company system program question work government number night point
home water room mother area money story fact month lot right study book eye job word business issue
side kind head house service friend father power hour game line end member law car city community name
president team minute idea kid body information back parent face others level office door health person
art war history party result change morning reason research girl guy moment air teacher force education
foot boy age policy music process market sense nation plan college interest death experience effect use
class control care field development role effort rate heart drug show leader light voice wife bird
mind price report decision son view relationship town road arm difference value building action season
society tax director position player record paper space ground form event official matter center couple
site project activity star table need court oil situation cost industry figure street image phone data
picture practice piece land product doctor wall patient worker news test movie north love support
technology step baby computer type attention film tree source organization hair look window culture
chance brother energy period course summer plant opportunity term letter condition choice rule south
husband floor campaign material population call economy hospital church risk fire future bank
`

// syllables are open syllables of two letters: among the first merges a small vocabulary learns.
func syllables() []string {
	var s []string
	for _, vowel := range "aeiou" {
		for _, consonant := range "bdfghklmnprstvwz" {
			s = append(s, string(consonant)+string(vowel))
		}
	}
	return s
}

func letters() []string {
	var s []string
	for _, r := range "abcdefghijklmnopqrstuvwxyz0123456789" {
		s = append(s, string(r))
	}
	return s
}

func spaced(texts []string) []string {
	s := make([]string, len(texts))
	for i, text := range texts {
		s[i] = " " + text
	}
	return s
}
