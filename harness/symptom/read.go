package symptom

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"tlsurge/harness/proxy/nginxconf"
	"tlsurge/profiles/hello"
)

// Progress is told how many bytes of how many have been read.
type Progress func(read, total int64)

// Source is where reports come from beside files.
type Source struct {
	Progress Progress      // may be nil
	Stdin    io.Reader     // what "-" stands for; nil: nothing
	Patience time.Duration // how long a pipe is read that does not end; 0: for ever
}

// Read reads a report from files and text: see [Source.Read].
func Read(ctx context.Context, args []string, progress Progress) (*Report, error) {
	return Source{Progress: progress}.Read(ctx, args)
}

// Read reads a report: an existing path is a file, told apart by its content - a capture, an nginx
// configuration, else a log or any other text -, "-" is the standard input, and anything else is text itself.
// Compressed files are unpacked. A pipe is read until it ends or patience does, which a note says.
//
// It fails where a file cannot be read, or an argument has the form of a path and is none. A report without
// anything to find in it is no error: its Signatures are empty.
func (s Source) Read(ctx context.Context, args []string) (*Report, error) {
	if len(args) == 0 {
		return nil, errors.New("no report: give an error's name, words in quotes, a log, a capture or a configuration")
	}
	r := &reader{Source: s, report: &Report{}, log: newLogReader()}
	for _, a := range args {
		if info, err := os.Stat(a); err == nil {
			if info.IsDir() {
				return nil, fmt.Errorf("%s is a directory: a file or text is expected", a)
			}
			r.total += info.Size()
		}
	}
	for _, a := range args {
		if err := r.argument(ctx, a); err != nil {
			return nil, err
		}
	}
	return r.finish(), nil
}

func (r *reader) argument(ctx context.Context, a string) error {
	if a == "-" {
		if r.Stdin == nil {
			return errors.New("-: there is no standard input")
		}
		return r.pipe(ctx, "standard input", func() (io.ReadCloser, error) { return io.NopCloser(r.Stdin), nil })
	}
	info, err := os.Stat(a)
	switch {
	case err != nil && errors.Is(err, fs.ErrNotExist), err != nil && !looksLikePath(a): // a sentence may be too long for a name
		return r.text(ctx, a)
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return r.pipe(ctx, a, func() (io.ReadCloser, error) { return os.Open(a) })
	}
	f, err := os.Open(a)
	if err != nil {
		return err
	}
	defer f.Close()
	return r.file(ctx, a, f, info.ModTime())
}

type reader struct {
	Source
	report      *Report
	read, total int64
	log         *logReader
	captures    []Signature
}

// Read counts what passes, for the progress.
type counted struct {
	io.Reader
	r *reader
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.r.read += int64(n)
	if c.r.Progress != nil {
		c.r.Progress(c.r.read, c.r.total)
	}
	return n, err
}

// sniffed is how much of a file tells what it is; a configuration is not longer.
const sniffed = 1 << 20

// file reads what is behind a path, whatever it is.
func (r *reader) file(ctx context.Context, path string, f io.Reader, modified time.Time) error {
	in, err := unpacked(bufio.NewReaderSize(counted{f, r}, 64<<10))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	peek := bufio.NewReaderSize(in, sniffed)
	head, err := peek.Peek(sniffed)
	if err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
		return fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case hello.IsCapture(head):
		if err := r.capture(ctx, peek); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	case errors.Is(err, io.EOF) && isConfiguration(path, head):
		if r.report.Config != "" {
			return fmt.Errorf("two configurations, %s and %s: one is expected", r.report.Config, path)
		}
		r.report.Config = path
		return nil
	}
	r.log.modified = modified
	in = peek
	if order := utf16Of(head); order != nil {
		in = &utf16Reader{in: peek, order: order}
	}
	if err := r.log.read(ctx, in); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// unpacked unpacks gzip and bzip2.
func unpacked(in *bufio.Reader) (io.Reader, error) {
	head, _ := in.Peek(3) // a shorter file is neither
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzip.NewReader(in) // several members, as log rotation makes them, are read as one
	case bytes.HasPrefix(head, []byte("BZh")):
		return bzip2.NewReader(in), nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f}):
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(32<<20))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case bytes.HasPrefix(head, []byte{0xfd, '7', 'z'}):
		return nil, errors.New("compressed with xz: unpack it first (xzcat FILE | tlsurge repro -)")
	case bytes.HasPrefix(head, []byte("PK\x03")):
		return nil, errors.New("a zip archive: unpack it first")
	}
	return in, nil
}

// isConfiguration says whether a file is in nginx's syntax: it parses, and has a directive that only a
// configuration has.
func isConfiguration(path string, text []byte) bool {
	if bytes.IndexByte(text, ';') < 0 && bytes.IndexByte(text, '{') < 0 {
		return false
	}
	tree, err := nginxconf.Parse(path, text)
	return err == nil && slices.ContainsFunc(tree, func(d *nginxconf.Directive) bool {
		switch d.Name {
		case "server", "http", "events", "upstream", "listen", "user", "worker_processes":
			return true
		}
		return strings.HasPrefix(d.Name, "ssl_")
	})
}

// text reads an argument that is no file.
func (r *reader) text(ctx context.Context, text string) error {
	before := len(r.log.table.rows)
	r.log.words = true
	defer func() { r.log.words = false }()
	if err := r.log.read(ctx, strings.NewReader(text)); err != nil {
		return err
	}
	r.log.lines -= int64(strings.Count(text, "\n")) + 1 // lines are those of files
	if len(r.log.table.rows) == before && looksLikePath(text) {
		if found, _, _ := Words(text); len(found) == 0 {
			return fmt.Errorf("%s: no such file, and no words of an error", text)
		}
	}
	return nil
}

func looksLikePath(s string) bool {
	if strings.ContainsAny(s, " \n\t") || strings.Contains(s, "://") {
		return false
	}
	switch strings.ToLower(filepath.Ext(s)) {
	case ".log", ".pcap", ".pcapng", ".cap", ".conf", ".gz", ".bz2", ".txt", ".json", ".eml":
		return true
	}
	return strings.HasPrefix(s, "/") || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../") || strings.HasPrefix(s, "~/")
}

// finish puts together what was read.
func (r *reader) finish() *Report {
	p := r.report
	p.Lines, p.Unreadable = max(r.log.lines, 0), r.log.unreadable
	found := append(onlyCoded(r.log.table.signatures()), r.captures...)
	said, mentioned, notes := Words(r.log.prose.String())
	for _, s := range said {
		found = r.log.join(found, s)
	}
	p.Mentioned, p.Notes = mentioned, append(p.Notes, notes...)
	if slices.ContainsFunc(found, func(s Signature) bool { return s.Origin == ServerLog && s.Code != "" }) {
		found = slices.DeleteFunc(found, func(s Signature) bool { return s.Code == "" && s.Reason == torn }) // its code is among them
	}
	sortTelling(found)
	if len(found) > 0 && found[0].tells() == 0 {
		found = slices.DeleteFunc(found, Signature.vague)
	}
	p.Signatures = append([]Signature{}, found...)
	return p
}

// join adds what prose says to what the logs say; a line that was torn apart counts with the whole ones of
// its kind.
func (l *logReader) join(found []Signature, s Signature) []Signature {
	if s.Origin == ServerLog {
		for i := range found {
			f := &found[i]
			if f.Origin == ServerLog && f.Stage == "" && s.Software == "" && (s.Code != "" && f.Code == s.Code || s.Code == "" && f.Code == "" && f.Reason == s.Reason) {
				f.Count += s.Count
				return found
			}
		}
	}
	return addSignature(found, s)
}

// onlyCoded leaves out Apache's first line about a failure, "SSL library error 1 in handshake", where the
// second one with the code is there too; the client stands in the first alone.
func onlyCoded(all []Signature) []Signature {
	coded, plain := -1, -1
	for i, s := range all {
		switch {
		case s.Software == "apache" && s.Code != "" && coded >= 0:
			coded = len(all) // several: no telling whose clients
		case s.Software == "apache" && s.Code != "":
			coded = i
		case s.Software == "apache" && s.Reason == "SSL Library Error":
			plain = i
		}
	}
	if coded < 0 || plain < 0 {
		return all
	}
	if coded < len(all) {
		all[coded].Clients = max(all[coded].Clients, all[plain].Clients)
	}
	return slices.Delete(all, plain, plain+1)
}
