package symptom

import (
	"embed"
	"fmt"
	"path"

	"github.com/BurntSushi/toml"

	"tlsurge/results"
)

//go:embed words/*.toml
var wordsFolder embed.FS

// wordsData is a file of the folder words: what people and programs say, beyond what the profiles show.
type wordsData struct {
	Word []wording `toml:"word"`
	// Numbers are error numbers that programs print without the name.
	Numbers []struct {
		Software string         `toml:"software"`
		Forms    []string       `toml:"forms"` // what stands around the number, which is "#"; "#": a report that says no more; "…#…": anywhere
		Codes    map[string]int `toml:"codes"` // name -> number
	} `toml:"numbers"`
}

// wording is one of them, or several names that mean alike.
type wording struct {
	Says     []string        `toml:"says"`     // spellings of one wording; the first is its name, and joins the wording of a profile where one has it
	Names    []string        `toml:"names"`    // each a wording of its own
	Software string          `toml:"software"` // whose words they are
	Class    []results.Class `toml:"class"`    // what they mean, where a profile does not tell; several: it may be any
	Alert    *int            `toml:"alert"`
	About    string          `toml:"about"`   // what a certificate is refused for: expired, not_yet, issuer, name
	Concept  bool            `toml:"concept"` // plain words for a kind of failure, whoever shows it
	Context  bool            `toml:"context"` // counts only close to "alert", "fatal" or "tls"
	Wraps    bool            `toml:"wraps"`   // the name of an exception: what stands beside it says more
	OpenSSL  bool            `toml:"openssl"` // a reason of OpenSSL's, which Node shows as ERR_SSL_ and the reason
	Beyond   string          `toml:"beyond"`  // why nothing here can show it
	Source   string          `toml:"source"`  // where the wording is from, where it is known
}

// wordsFiles reads the folder, in the order of its names: plain English is the last.
func wordsFiles() (list []*wordsData) {
	files, err := wordsFolder.ReadDir("words")
	if err != nil {
		panic(err) // embedded data
	}
	for _, f := range files {
		var d wordsData
		text, err := wordsFolder.ReadFile(path.Join("words", f.Name()))
		if err == nil {
			var md toml.MetaData
			if md, err = toml.Decode(string(text), &d); err == nil && len(md.Undecoded()) > 0 {
				err = fmt.Errorf("unknown key %v", md.Undecoded()[0])
			}
		}
		if err != nil {
			panic(fmt.Sprintf("words/%s: %v", f.Name(), err)) // it is part of the program
		}
		list = append(list, &d)
	}
	return list
}
