package profiles

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/BurntSushi/toml"

	"tlsurge/profiles/wire"
)

// Profile is one browser (or other client) of one version on one system.
type Profile struct {
	Name     string // the file's name without .toml: "firefox-35-osx"
	Title    string // "Firefox 35 on OS X"
	Browser  string
	Version  string
	OS       string
	Released string // year and month of that version; "" where not known
	Sources  []Source
	Notes    string

	file       File
	spec       *spec
	variants   map[string]*spec
	behaviour  *behaviour
	maxVersion wire.Version
	shapes     atomic.Pointer[map[shapeKey]*shape] // compiled hellos; replaced as a whole, never written to
}

// Source says where a profile's bytes come from.
type Source struct {
	What     string `toml:"what"`               // repository, file and commit, or how it was captured
	Kind     string `toml:"kind"`               // "capture", "parrot" (a library that imitates the client) or "reconstructed"
	Captured string `toml:"captured,omitempty"` // date of the capture
}

// File is a profile as it stands in its TOML file.
type File struct {
	Title     string    `toml:"title"`
	Browser   string    `toml:"browser"`
	Version   string    `toml:"version"`
	OS        string    `toml:"os,omitempty"`
	Released  string    `toml:"released,omitempty"`
	Behaviour string    `toml:"behaviour"`
	Notes     string    `toml:"notes,omitempty"`
	Source    []Source  `toml:"source"`
	Hello     HelloData `toml:"hello"`
}

//go:embed data
var data embed.FS

// File gives the profile as its file holds it.
func (p *Profile) File() *File { return &p.file }

// Manners gives the browser's manners.
func (p *Profile) Manners() *Manners { return &p.behaviour.manners }

// Behaviour names the behaviour that the profile follows ("firefox-35").
func (p *Profile) Behaviour() string { return p.behaviour.Name }

// Words gives the browser's wording of a failure, whatever it would do about it.
func (p *Profile) Words(f Failure) Wording { return p.behaviour.wording(f) }

// MaxVersion is the highest version that the profile's own hello offers. A draft of TLS 1.3 counts as TLS 1.3,
// though a server that knows the RFC alone answers TLS 1.2 to it.
func (p *Profile) MaxVersion() wire.Version { return p.maxVersion }

// Groups gives the groups of the first hello's key shares, in order, GREASE left out: those for which
// HelloParams.Shares is asked.
func (p *Profile) Groups() []wire.Group {
	var out []wire.Group
	for _, g := range p.spec.shares {
		if !wire.IsGREASE(uint16(g)) {
			out = append(out, g)
		}
	}
	return out
}

// SendsSNI says whether the hello names the host.
func (p *Profile) SendsSNI() bool {
	return slices.ContainsFunc(p.spec.exts, func(e extSpec) bool { return e.kind == extSNI })
}

// OffersTicket says whether the hello has a session_ticket extension.
func (p *Profile) OffersTicket() bool {
	return slices.ContainsFunc(p.spec.exts, func(e extSpec) bool { return e.kind == extTicket })
}

// MayOffer says whether the browser would offer a session of version and suite in the hello of plan: a
// session above the plan's maximum is out of range, and all but NSS before 3.28 leave out a session whose
// suite the hello does not offer.
func (p *Profile) MayOffer(plan Plan, v wire.Version, suite wire.CipherSuite) bool {
	if !plan.Resume || v > plan.MaxVersion {
		return false
	}
	sh, err := p.shape(&HelloParams{MaxVersion: plan.MaxVersion, SCSV: plan.SCSV, Variant: plan.Variant})
	return err == nil && (sh.spec.resume.AnySuite || slices.Contains(sh.suites, suite) || v == wire.TLS13)
}

// Variants names the changed hellos that the profile knows.
func (p *Profile) Variants() []string {
	var out []string
	for n := range p.variants {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

// Names lists the built-in profiles in alphabetical order.
func Names() []string { return names("data") }

func names(dir string) []string {
	entries, err := fs.ReadDir(data, dir)
	if err != nil {
		panic(err) // the embedded tree is part of the program
	}
	var out []string
	for _, e := range entries {
		if n, ok := strings.CutSuffix(e.Name(), ".toml"); ok {
			out = append(out, n)
		}
	}
	return out
}

var loaded sync.Map // name -> *Profile; a cache, filled on demand

// Lookup gives a built-in profile. Its error names the nearest one.
func Lookup(name string) (*Profile, error) {
	if p, ok := loaded.Load(name); ok {
		return p.(*Profile), nil
	}
	raw, err := data.ReadFile(path.Join("data", name+".toml"))
	if err != nil {
		return nil, fmt.Errorf("no profile %q%s", name, Suggest(name, Names()))
	}
	p, err := Parse(name, raw)
	if err != nil {
		return nil, err
	}
	actual, _ := loaded.LoadOrStore(name, p)
	return actual.(*Profile), nil
}

// LoadFile reads a profile from a TOML file; its name is the file's without .toml.
func LoadFile(file string) (*Profile, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p, err := Parse(strings.TrimSuffix(path.Base(file), ".toml"), raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return p, nil
}

// Parse reads a profile from TOML. Errors name the key, the value and what is allowed.
func Parse(name string, raw []byte) (*Profile, error) {
	var d File
	if err := decode(raw, &d); err != nil {
		return nil, fmt.Errorf("profile %s: %w", name, err)
	}
	p := &Profile{Name: name, Title: d.Title, Browser: d.Browser, Version: d.Version, OS: d.OS, Released: d.Released,
		Sources: d.Source, Notes: d.Notes, file: d}
	var err error
	if p.spec, err = d.Hello.compile(); err != nil {
		return nil, fmt.Errorf("profile %s: %w", name, err)
	}
	p.variants = make(map[string]*spec)
	for n, v := range d.Hello.Variant {
		vd := d.Hello.vary(v)
		if p.variants[n], err = vd.compile(); err != nil {
			return nil, fmt.Errorf("profile %s: hello.variant.%s: %w", name, n, err)
		}
	}
	p.maxVersion = p.spec.maxVersion()
	if d.Behaviour == "" {
		return nil, fmt.Errorf("profile %s: behaviour is missing: name one of %s", name, strings.Join(names("data/behaviour"), ", "))
	}
	if p.behaviour, err = lookupBehaviour(d.Behaviour); err != nil {
		return nil, fmt.Errorf("profile %s: %w", name, err)
	}
	return p, p.checkVariants()
}

// checkVariants makes sure that whatever the behaviour asks for can be built.
func (p *Profile) checkVariants() error {
	for _, v := range p.neededVariants() {
		if p.variants[v] == nil {
			return fmt.Errorf("profile %s: behaviour %s sends the variant %q, and hello.variant.%s is missing", p.Name, p.behaviour.Name, v, v)
		}
	}
	return nil
}

// neededVariants names the changed hellos that the behaviour sends.
func (p *Profile) neededVariants() []string {
	want := []string{p.behaviour.Retry.Variant}
	if p.behaviour.Fallback.WeakInFallback || len(p.behaviour.Fallback.WeakFirst) > 0 {
		want = append(want, variantRC4)
	}
	for _, s := range p.behaviour.Fallback.Steps {
		want = append(want, s.Variant)
	}
	slices.Sort(want)
	return slices.DeleteFunc(slices.Compact(want), func(v string) bool { return v == "" })
}

// maxVersion is the highest version on offer, drafts of TLS 1.3 (0x7fxx) counted as TLS 1.3.
func (s *spec) maxVersion() wire.Version {
	for _, e := range s.exts {
		if e.typ == wire.ExtSupportedVersions {
			var best wire.Version
			for i := 1; i+1 < len(e.data); i += 2 {
				if v := wire.Version(uint16(e.data[i])<<8 | uint16(e.data[i+1])); v>>8 == 0x7f {
					best = wire.TLS13
				} else if v <= wire.TLS13 {
					best = max(best, v)
				}
			}
			if best != 0 {
				return best
			}
		}
	}
	return min(s.version, wire.TLS12)
}

var behaviours sync.Map // name -> *behaviour; a cache, filled on demand

func lookupBehaviour(name string) (*behaviour, error) {
	if b, ok := behaviours.Load(name); ok {
		return b.(*behaviour), nil
	}
	tables, err := readBehaviour(name, 0)
	if err != nil {
		return nil, err
	}
	merged, err := toml.Marshal(tables)
	if err != nil {
		return nil, fmt.Errorf("behaviour %s: %w", name, err)
	}
	b := new(behaviour)
	if err := decode(merged, b); err != nil {
		return nil, fmt.Errorf("behaviour %s: %w", name, err)
	}
	b.Name = name
	if err := b.prepare(); err != nil {
		return nil, err
	}
	actual, _ := behaviours.LoadOrStore(name, b)
	return actual.(*behaviour), nil
}

// readBehaviour gives the tables of a behaviour over those of the one it starts from: a table is merged
// key by key, everything else is replaced, and so is each wording as a whole.
func readBehaviour(name string, depth int) (map[string]any, error) {
	raw, err := data.ReadFile(path.Join("data/behaviour", name+".toml"))
	if err != nil {
		return nil, fmt.Errorf("no behaviour %q%s", name, Suggest(name, names("data/behaviour")))
	}
	if depth > 16 {
		return nil, fmt.Errorf("behaviour %s: more than sixteen behaviours stand on each other", name)
	}
	var own map[string]any
	if err := toml.Unmarshal(raw, &own); err != nil {
		return nil, fmt.Errorf("behaviour %s: %w", name, err)
	}
	like, _ := own["like"].(string)
	if like == "" {
		return own, nil
	}
	base, err := readBehaviour(like, depth+1)
	if err != nil {
		return nil, fmt.Errorf("behaviour %s: %w", name, err)
	}
	merge(base, own)
	return base, nil
}

func merge(base, over map[string]any) {
	for k, v := range over {
		b, ok1 := base[k].(map[string]any)
		o, ok2 := v.(map[string]any)
		if ok1 && ok2 && k == "words" {
			maps.Copy(b, o)
		} else if ok1 && ok2 {
			merge(b, o)
		} else {
			base[k] = v
		}
	}
}

// decode reads TOML and refuses keys that v does not have.
func decode(raw []byte, v any) error {
	md, err := toml.NewDecoder(bytes.NewReader(raw)).Decode(v)
	if err != nil {
		return err
	}
	if u := md.Undecoded(); len(u) > 0 {
		return fmt.Errorf("unknown key %q", u[0].String())
	}
	return nil
}

// Suggest gives the known name that is nearest to a wrong one as the tail of an error, "" where none is known.
func Suggest(name string, known []string) string {
	if best := Closest(name, known); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return ""
}

// Closest gives the known name with the fewest edits from name.
func Closest(name string, known []string) string {
	best, score := "", 1<<30
	for _, k := range known {
		if d := wire.EditDistance(name, k); d < score {
			best, score = k, d
		}
	}
	return best
}
