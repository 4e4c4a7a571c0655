package symptom

import (
	"html"
	"strings"
	"unicode"
	"unicode/utf8"
)

// token is a word of a text in its plain form, and where it stood.
type token struct {
	text       string
	start, end int
}

// unpick undoes what mail and the web do to a text: HTML entities, and soft line breaks.
func unpick(text string) string {
	text = strings.ReplaceAll(text, "=\r\n", "")
	text = strings.ReplaceAll(text, "=\n", "")
	return html.UnescapeString(text)
}

// tokens cuts a text into words. Case, quotation marks, apostrophes of any form, underscores, line breaks
// and the marks of a reply ("> ") make no difference: "Can’t", "can't", "cant" and "cannot" are one word, and
// ssl_error_no_cypher_overlap is the five words "ssl error no cipher overlap". A minus sign in front of a
// number belongs to it.
func tokens(text string) []token {
	var out []token
	var word strings.Builder
	start, last := -1, rune(' ')
	flush := func(end int) {
		if start >= 0 {
			out = joinToken(out, token{plain(word.String()), start, end})
			word.Reset()
			start = -1
		}
	}
	for i, r := range text {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			if start < 0 {
				start = i
				if (last == '-' || last == '−') && unicode.IsDigit(r) && lonelyMinus(text, i) {
					word.WriteByte('-')
				}
			}
			word.WriteRune(unicode.ToLower(r))
		case strings.ContainsRune("'’‘ʼ´`", r) && start >= 0 && letterFollows(text[i+utf8.RuneLen(r):]):
		case r == '\u200b' || r == '\u00ad' || r == '\u2060' || r == '\ufeff':
		default:
			flush(i)
		}
		last = r
	}
	flush(len(text))
	return out
}

func letterFollows(rest string) bool {
	r, _ := utf8.DecodeRuneInString(rest)
	return unicode.IsLetter(r)
}

// lonelyMinus says whether the sign before position i stands behind no word, as in "(-9824)" and unlike
// "2015-01-13".
func lonelyMinus(text string, i int) bool {
	sign := strings.LastIndexAny(text[:i], "-−")
	before, _ := utf8.DecodeLastRuneInString(text[:sign])
	return before == utf8.RuneError || !unicode.IsLetter(before) && !unicode.IsDigit(before) && before != '-'
}

// plain gives a word the spelling that phrases use.
func plain(word string) string {
	switch word {
	case "cypher":
		return "cipher"
	case "cyphers":
		return "ciphers"
	case "cannot":
		return "cant"
	case "website", "web-site":
		return "site"
	}
	return word
}

// pairs are two words that are also written as one.
var pairs = map[[2]string]string{
	{"can", "not"}: "cant", {"is", "not"}: "isnt", {"could", "not"}: "couldnt", {"did", "not"}: "didnt",
	{"does", "not"}: "doesnt", {"do", "not"}: "dont", {"will", "not"}: "wont", {"web", "page"}: "webpage", {"web", "site"}: "site",
	{"time", "out"}: "timeout", {"hand", "shake"}: "handshake",
}

func joinToken(out []token, t token) []token {
	if n := len(out); n > 0 {
		if one, ok := pairs[[2]string{out[n-1].text, t.text}]; ok {
			out[n-1].text, out[n-1].end = one, t.end
			return out
		}
	}
	return append(out, t)
}
