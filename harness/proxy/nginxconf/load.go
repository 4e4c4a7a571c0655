package nginxconf

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// Warning is something in a configuration that is accepted and has no effect here.
type Warning struct {
	File string
	Line int
	Text string
}

func (w Warning) String() string { return (&SyntaxError{w.File, w.Line, w.Text}).Error() }

// Source is where files come from: the disk, or the files that are built in.
type Source struct {
	Read func(path string) ([]byte, error)
	Glob func(pattern string) ([]string, error)
}

// Disk reads the file system.
func Disk() Source {
	return Source{Read: os.ReadFile, Glob: filepath.Glob}
}

// Embedded reads fsys.
func Embedded(fsys fs.FS) Source {
	return Source{
		Read: func(path string) ([]byte, error) { return fs.ReadFile(fsys, path) },
		Glob: func(pattern string) ([]string, error) { return fs.Glob(fsys, pattern) },
	}
}

// maxIncludes bounds how many files one configuration may pull in, so that a file that includes itself ends.
const maxIncludes = 256

// Load reads a file with everything it includes, relative paths from the file's own folder, and checks every
// directive. expand rewrites the text before it is read (nil: as it is).
func Load(src Source, path string, expand func([]byte) []byte) ([]*Directive, []Warning, error) {
	l := &loader{src: src, dir: filepath.Dir(path), expand: expand}
	tree, err := l.file(path)
	if err != nil {
		return nil, nil, err
	}
	warnings, err := Check(tree)
	return tree, warnings, err
}

type loader struct {
	src    Source
	dir    string
	expand func([]byte) []byte
	files  int
}

func (l *loader) file(path string) ([]*Directive, error) {
	if l.files++; l.files > maxIncludes {
		return nil, fmt.Errorf("%s: more than %d included files (does one include itself?)", path, maxIncludes)
	}
	text, err := l.src.Read(path)
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(text, 0) >= 0 {
		return nil, &SyntaxError{path, 1, "not a text: there is a NUL in it"}
	}
	if l.expand != nil {
		text = l.expand(text)
	}
	tree, err := Parse(path, text)
	if err != nil {
		return nil, err
	}
	return l.includes(tree)
}

// includes puts the directives of included files in the place of each include.
func (l *loader) includes(block []*Directive) ([]*Directive, error) {
	out := make([]*Directive, 0, len(block))
	for _, d := range block {
		if d.Name != "include" {
			if d.HasBlock {
				var err error
				if d.Block, err = l.includes(d.Block); err != nil {
					return nil, err
				}
			}
			out = append(out, d)
			continue
		}
		if len(d.Args) != 1 || d.HasBlock {
			return nil, &SyntaxError{d.File, d.Line, "include takes one file or pattern"}
		}
		found, err := l.include(d)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

func (l *loader) include(d *Directive) ([]*Directive, error) {
	path := d.Args[0]
	if path == "mime.types" || strings.HasSuffix(path, "/mime.types") {
		if _, err := l.src.Read(l.resolve(path)); err != nil {
			return standIn(d)
		}
	}
	path = l.resolve(path)
	paths := []string{path}
	if strings.ContainsAny(path, "*?[") {
		var err error
		if paths, err = l.src.Glob(path); err != nil {
			return nil, &SyntaxError{d.File, d.Line, fmt.Sprintf("include %q: %v", path, err)}
		}
		sort.Strings(paths)
	}
	var out []*Directive
	for _, p := range paths {
		tree, err := l.file(p)
		if err != nil {
			if _, ok := err.(*SyntaxError); ok {
				return nil, err
			}
			return nil, &SyntaxError{d.File, d.Line, fmt.Sprintf("include: %v", err)}
		}
		out = append(out, tree...)
	}
	return out, nil
}

func (l *loader) resolve(path string) string {
	if filepath.IsAbs(path) || l.dir == "." {
		return path
	}
	return filepath.Join(l.dir, path)
}
