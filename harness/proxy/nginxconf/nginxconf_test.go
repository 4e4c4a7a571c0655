package nginxconf

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestParseWords(t *testing.T) {
	for _, tc := range []struct {
		why, text string
		want      []string // name and arguments
	}{
		{"plain words", "listen 443 ssl;", []string{"listen", "443", "ssl"}},
		{"quotes keep spaces", `return 200 'a b' "c d";`, []string{"return", "200", "a b", "c d"}},
		{"a quote inside the other kind", `return 200 "it's";`, []string{"return", "200", "it's"}},
		{"escapes in quotes", `return 200 "a\"b\\c\n";`, []string{"return", "200", "a\"b\\c\n"}},
		{"other backslashes stay for the regular expression", `rewrite ^/a\.b$ /c;`, []string{"rewrite", `^/a\.b$`, "/c"}},
		{"a variable in braces does not open a block", "set $a ${b}P;", []string{"set", "$a", "${b}P"}},
		{"comments end with the line", "root /a; # root /b;\n", []string{"root", "/a"}},
		{"words over several lines", "gzip_types text/a\n  text/b;", []string{"gzip_types", "text/a", "text/b"}},
		{"a hash inside a word is no comment", "root /a#b;", []string{"root", "/a#b"}},
	} {
		got, err := Parse("f", []byte(tc.text))
		if err != nil || len(got) != 1 {
			t.Errorf("%s: %v, %d directives", tc.why, err, len(got))
			continue
		}
		if words := append([]string{got[0].Name}, got[0].Args...); !reflect.DeepEqual(words, tc.want) {
			t.Errorf("%s: %q, want %q", tc.why, words, tc.want)
		}
	}
}

func TestErrorsNamePlaceAndWhatIsAllowed(t *testing.T) {
	for _, tc := range []struct{ why, text, want string }{
		{"a slip names the nearest", "http {\n server {\n  location / {\n   proxy_pas http://a;\n  }\n }\n}", `f:4: unknown directive "proxy_pas"; the nearest that is known is "proxy_pass"`},
		{"nothing near", "zzzzzzzzzzzz on;", `f:1: unknown directive "zzzzzzzzzzzz"`},
		{"wrong place", "listen 80;", `f:1: "listen" directive is not allowed here (in main); it may stand in: server`},
		{"too few arguments", "http { server { rewrite a; } }", `f:1: invalid number of arguments in "rewrite" directive: 1, allowed are 2 to 3`},
		{"too many", "http { server { root a b; } }", `f:1: invalid number of arguments in "root" directive: 2, allowed are 1`},
		{"block missing", "http;", `f:1: directive "http" has no opening "{": it needs a block`},
		{"block too many", "http { server { root a { } } }", `f:1: directive "root" is not terminated by ";": it takes no block`},
		{"no semicolon", "http {\n gzip on\n}", `f:2: directive "gzip" is not ended by ";"`},
		{"open block", "http {\n", `f:1: the block that opens here has no "}"`},
		{"closed twice", "}", `f:1: unexpected "}"`},
		{"open quote", "root 'a;\n", `f:1: the quote ' that opens here is not closed`},
		{"quote with a tail", `root "a"b;`, `f:1: unexpected "b" after a quoted word`},
	} {
		tree, err := Parse("f", []byte(tc.text))
		if err == nil {
			_, err = Check(tree)
		}
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("%s: %v\nwant %s", tc.why, err, tc.want)
		}
	}
}

func TestKnownWithoutEffectWarns(t *testing.T) {
	tree, err := Parse("f", []byte("user nginx;\nhttp {\n sendfile on;\n gzip on;\n}"))
	if err != nil {
		t.Fatal(err)
	}
	warnings, err := Check(tree)
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 2 || warnings[0].Line != 1 || warnings[1].Line != 3 || !strings.Contains(warnings[1].Text, `"sendfile" has no effect`) {
		t.Errorf("warnings %v", warnings)
	}
}

func TestIncludes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("nginx.conf", "http {\n include sites-*.conf;\n include mime.types;\n}")
	write("sites-b.conf", "server { root /b; }")
	write("sites-a.conf", "server { root /a; }")
	tree, _, err := Load(Disk(), filepath.Join(dir, "nginx.conf"), nil)
	if err != nil {
		t.Fatal(err)
	}
	servers := Find(tree[0].Block, "server")
	if len(servers) != 2 || servers[0].Block[0].Args[0] != "/a" || servers[1].Block[0].Args[0] != "/b" {
		t.Errorf("patterns give files by name: %+v", servers)
	}
	if !strings.HasSuffix(servers[0].File, "sites-a.conf") {
		t.Errorf("a directive knows its own file, not %s", servers[0].File)
	}
	write("self.conf", "include self.conf;")
	if _, _, err := Load(Disk(), filepath.Join(dir, "self.conf"), nil); err == nil || !strings.Contains(err.Error(), "include itself") {
		t.Errorf("a file that includes itself must end with an error, got %v", err)
	}
	write("none.conf", "\n\ninclude gone.conf;")
	if _, _, err := Load(Disk(), filepath.Join(dir, "none.conf"), nil); err == nil || !strings.Contains(err.Error(), "none.conf:3: include:") {
		t.Errorf("a missing file is named with the include's place, got %v", err)
	}
}

// Whatever Parse accepts, Format writes so that Parse reads the same tree again.
func FuzzParse(f *testing.F) {
	f.Add("http { server { listen 443 ssl; if ($a ~* \"b{2}\") { return 503; } } }")
	f.Add("set $a '${b}P'; # c\nlog_format x '\"$request\"';")
	f.Add(`a "\\\"" '\n' \t;`)
	f.Fuzz(func(t *testing.T, text string) {
		tree, err := Parse("f", []byte(text))
		if err != nil {
			return
		}
		again, err := Parse("f", Format(tree))
		if err != nil {
			t.Fatalf("%q was read, and its own form is not: %v\n%s", text, err, Format(tree))
		}
		if !same(tree, again) {
			t.Fatalf("%q changed:\n%s\n%s", text, Format(tree), Format(again))
		}
	})
}

func same(a, b []*Directive) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Name != b[i].Name || len(a[i].Args) != len(b[i].Args) || a[i].HasBlock != b[i].HasBlock || !same(a[i].Block, b[i].Block) {
			return false
		}
		for j := range a[i].Args {
			if a[i].Args[j] != b[i].Args[j] {
				return false
			}
		}
	}
	return true
}
