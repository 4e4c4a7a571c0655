package proxy

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"tlsurge/harness/proxy/nginxconf"
	"tlsurge/harness/proxy/stack"
)

//go:embed builtin
var builtinFiles embed.FS

// BuiltinPrefix begins the name of a configuration that is built in.
const BuiltinPrefix = "builtin:"

// Builtins lists the configurations that are built in.
func Builtins() []string {
	return builtinNames(".conf")
}

func builtinNames(kind string) (out []string) {
	entries, _ := builtinFiles.ReadDir("builtin")
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), kind) {
			out = append(out, BuiltinPrefix+e.Name())
		}
	}
	return out
}

// BuiltinFile gives a file that is built in and that a directive names: "builtin:dh-768.pem".
func BuiltinFile(name string) ([]byte, error) {
	if files := builtinNames(".pem"); !slices.Contains(files, name) {
		return nil, fmt.Errorf("%s: no such file is built in; there are %s", name, strings.Join(files, ", "))
	}
	return builtinFiles.ReadFile("builtin/" + strings.TrimPrefix(name, BuiltinPrefix))
}

// Load reads a configuration, lays the options over it and checks all of it: certificates are read, regular
// expressions compiled, addresses resolved. Nothing is opened or started.
func Load(o Options) (*Config, error) {
	tree, warnings, stackName, err := effective(&o)
	if err != nil {
		return nil, err
	}
	if o.Stack != "" {
		stackName = o.Stack
	}
	if stackName == "" {
		stackName = stack.Default
	}
	cfg := &Config{Name: o.Name, Metrics: o.Metrics, Warnings: warnings}
	if cfg.Stack, err = stack.Lookup(stackName); err != nil {
		return nil, err
	}
	c := &compiler{cfg: cfg, o: &o, tree: tree}
	if err := c.compile(); err != nil {
		return nil, err
	}
	if o.Expired != "" {
		cert, err := loadCertificate(o.Expired, o.Key)
		if err != nil {
			return nil, err
		}
		cfg.expired = cert.engine
	}
	return cfg, nil
}

// effective reads the source and lays the options over it.
func effective(o *Options) (tree []*nginxconf.Directive, warnings []nginxconf.Warning, stackName string, err error) {
	if tree, warnings, stackName, err = readTree(o); err != nil {
		return nil, nil, "", err
	}
	if tree, err = o.overlay(tree); err != nil {
		return nil, nil, "", err
	}
	_, err = nginxconf.Check(tree)
	return tree, warnings, stackName, err
}

// readTree reads the source, whichever of the three it is.
func readTree(o *Options) (tree []*nginxconf.Directive, warnings []nginxconf.Warning, stackName string, err error) {
	source := o.Source
	if source == "" {
		source = BuiltinPrefix + "edge.conf"
	}
	if name, ok := strings.CutPrefix(source, BuiltinPrefix); ok {
		if !slices.Contains(Builtins(), source) {
			return nil, nil, "", fmt.Errorf("%s: no such configuration is built in; there are %s", source, strings.Join(Builtins(), ", "))
		}
		tree, warnings, err = nginxconf.Load(nginxconf.Embedded(builtinFiles), "builtin/"+name, o.fillIn)
		return tree, warnings, "", err
	}
	text, err := os.ReadFile(source)
	if err != nil {
		return nil, nil, "", err
	}
	if looksLikeTOML(text) {
		tree, stackName, err = parseTOML(source, text)
		if err != nil {
			return nil, nil, "", err
		}
		warnings, err = nginxconf.Check(tree)
		return tree, warnings, stackName, err
	}
	tree, warnings, err = nginxconf.Load(nginxconf.Disk(), source, nil)
	return tree, warnings, "", err
}

// looksLikeTOML: the first line that says something is "[table]" or "key = value", which nginx's language has
// neither of.
func looksLikeTOML(text []byte) bool {
	for _, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		return tomlLine.Match(line)
	}
	return false
}

var tomlLine = regexp.MustCompile(`^(\[+[\w."-]+\]+|[\w."-]+\s*=)`)
