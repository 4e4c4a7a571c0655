package site

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// BuiltinRoot is the root directive's name for the files that are built in.
const BuiltinRoot = "builtin:public"

//go:embed public
var embedded embed.FS

// WriteBuiltin writes the built-in files into a folder, for a server that needs them on the disk.
func WriteBuiltin(dir string) error {
	public, err := fs.Sub(embedded, "public")
	if err != nil {
		return err
	}
	return fs.WalkDir(public, ".", func(name string, d fs.DirEntry, err error) error {
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err != nil || d.IsDir() {
			return errors.Join(err, os.MkdirAll(to, 0o755))
		}
		text, err := fs.ReadFile(public, name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(to, text, 0o644); err != nil {
			return err
		}
		return os.Chtimes(to, builtinTime, builtinTime)
	})
}

// open opens a file of the disk or of the built-in root.
func open(name string) (fs.File, error) {
	if rest, ok := strings.CutPrefix(name, BuiltinRoot); ok {
		return embedded.Open(path.Join("public", path.Clean("/"+rest)))
	}
	return os.Open(name)
}

func stat(name string) (fs.FileInfo, error) {
	if rest, ok := strings.CutPrefix(name, BuiltinRoot); ok {
		return fs.Stat(embedded, path.Join("public", path.Clean("/"+rest)))
	}
	return os.Stat(name)
}

// static answers with the file that the URI names: index files for a folder, a redirect where the slash at
// its end is missing, ranges and conditions.
func (x *exchange) static() {
	switch x.method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
	default:
		x.fail(http.StatusMethodNotAllowed)
		return
	}
	if strings.HasSuffix(x.uri, "/") {
		x.indexOf()
		return
	}
	name := x.filename()
	if x.conf.gzipStatic != "" && x.conf.gzipStatic != "off" && x.compressedFile(name) {
		return
	}
	fi, err := stat(name)
	switch {
	case err != nil:
		x.unopened(name, err)
		return
	case fi.IsDir():
		to := escapePath(x.uri) + "/"
		if x.args != "" {
			to += "?" + x.args
		}
		x.failWith(http.StatusMovedPermanently, x.absolute(to))
		return
	case !fi.Mode().IsRegular():
		x.log("crit", "%q is not a regular file", name)
		x.fail(http.StatusNotFound)
		return
	case x.method == http.MethodPost:
		x.fail(http.StatusMethodNotAllowed)
		return
	}
	f, err := open(name)
	if err != nil {
		x.unopened(name, err)
		return
	}
	defer f.Close()
	if x.discards() {
		x.file(f, fi)
	}
}

// discards is where a request's body begins to be read, or thrown away: a client that waits for 100 Continue gets it. false: it is
// malformed, and was answered.
func (x *exchange) discards() (ok bool) {
	if x.awaitsContinue() {
		x.expected = true
		x.w.WriteHeader(http.StatusContinue)
		x.w.sent += continueLength
	}
	if x.errored || !x.brokenBody() {
		return true
	}
	x.log("info", "client sent invalid chunked body")
	x.w.close = true
	x.fail(http.StatusBadRequest)
	return false
}

// brokenBody says whether what has come of the request's body is malformed.
func (x *exchange) brokenBody() bool {
	b, ok := x.r.HTTP.Body.(interface{ Broken() bool })
	return ok && b.Broken()
}

// continueLength is what $body_bytes_sent counts of an interim answer.
const continueLength = int64(len("HTTP/1.1 100 Continue\r\n\r\n"))

func (x *exchange) awaitsContinue() bool {
	r := x.r.HTTP
	return !x.expected && r.ProtoMajor == 1 && r.ProtoMinor == 1 && strings.EqualFold(r.Header.Get("Expect"), "100-continue")
}

// unopened answers for a file that cannot be opened, and says why in the log.
func (x *exchange) unopened(name string, err error) {
	switch {
	case os.IsPermission(err):
		x.log("error", "open() %q failed (13: Permission denied)", name)
		x.fail(http.StatusForbidden)
	case errors.Is(err, syscall.ENOTDIR):
		x.notFound("open() %q failed (20: Not a directory)", name)
	case errors.Is(err, syscall.ENAMETOOLONG):
		x.notFound("open() %q failed (36: File name too long)", name)
	case os.IsNotExist(err):
		x.notFound("open() %q failed (2: No such file or directory)", name)
	default:
		x.log("crit", "open() %q failed (%v)", name, err)
		x.fail(http.StatusInternalServerError)
	}
}

func (x *exchange) notFound(format string, name string) {
	if x.conf.logNotFound {
		x.log("error", format, name)
	}
	x.fail(http.StatusNotFound)
}

// compressedFile is gzip_static: the file with .gz behind its name, where the client takes it.
func (x *exchange) compressedFile(name string) bool {
	if x.method == http.MethodPost || x.conf.gzipStatic == "on" && !x.w.takesGzip() {
		return false
	}
	fi, err := stat(name + ".gz")
	if err != nil || !fi.Mode().IsRegular() {
		return false
	}
	f, err := open(name + ".gz")
	if err != nil {
		return false
	}
	defer f.Close()
	x.w.Header().Set("Content-Encoding", "gzip")
	if x.conf.gzip.vary && x.conf.gzipStatic == "on" {
		x.w.Header().Add("Vary", "Accept-Encoding")
	}
	x.file(f, fi)
	return true
}

// indexOf sends a folder's request on to its first index file that exists.
func (x *exchange) indexOf() {
	dir := x.filename()
	first := ""
	for i, t := range x.conf.index {
		name := t.eval(x)
		if i == 0 {
			first = name
		}
		to := x.uri + name
		if strings.HasPrefix(name, "/") {
			to = name
		} else if fi, err := stat(dir + name); err != nil || fi.IsDir() {
			switch {
			case os.IsPermission(err):
				x.unopened(dir+name, err)
				return
			case errors.Is(err, syscall.ENOTDIR):
				x.notFound("%q is not found (20: Not a directory)", dir+name)
				return
			}
			continue
		}
		if x.args != "" {
			to += "?" + x.args
		}
		x.redirect(to, x.argsGiven || x.args != "")
		return
	}
	if _, err := stat(strings.TrimSuffix(dir, "/")); err != nil {
		x.notFound("%q is not found (2: No such file or directory)", dir+first)
		return
	}
	if x.conf.autoindex && x.method != http.MethodPost {
		x.list(dir)
		return
	}
	x.log("error", "directory index of %q is forbidden", dir)
	x.fail(http.StatusForbidden)
}

// tryFiles looks for the first name that exists, which the URI then is; the last is a URI, a named location or
// =status. false: the request was answered or sent on.
func (x *exchange) tryFiles() bool {
	list := x.conf.tryFiles
	for _, t := range list[:len(list)-1] {
		name, folder := t.eval(x), false
		if strings.HasSuffix(t.text, "/") {
			name, folder = strings.TrimSuffix(name, "/"), true
		}
		uri := x.uri
		x.uri = name
		fi, err := stat(x.filename())
		if err == nil && fi.IsDir() == folder {
			return true
		}
		x.uri = uri
	}
	last := list[len(list)-1].eval(x)
	if code, ok := strings.CutPrefix(last, "="); ok {
		n, _ := strconv.Atoi(code)
		x.fail(n)
	} else if strings.HasPrefix(last, "@") {
		x.named(last)
	} else {
		x.redirect(last, true)
	}
	return false
}

// gif is empty_gif: one transparent pixel.
func (x *exchange) gif() {
	if x.method != http.MethodGet && x.method != http.MethodHead {
		x.fail(http.StatusMethodNotAllowed)
		return
	}
	if !x.discards() {
		return
	}
	h := x.w.Header()
	h.Set("Content-Type", "image/gif")
	h.Set("Content-Length", strconv.Itoa(len(pixel)))
	h.Set("Last-Modified", "Mon, 28 Sep 1970 06:00:00 GMT")
	x.w.WriteHeader(http.StatusOK)
	x.w.Write([]byte(pixel))
}

const pixel = "GIF89a\x01\x00\x01\x00\x80\x01\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x01\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02L\x01\x00;"

// contentType is the type of the URI's ending, else default_type.
func (x *exchange) contentType() string {
	if t, ok := x.conf.types[extension(x.uri)]; ok {
		return t
	}
	return x.conf.defType
}

// file sends one file, or what the conditions and ranges of the request make of it.
func (x *exchange) file(f fs.File, fi fs.FileInfo) {
	h, r := x.w.Header(), x.header()
	mod := fi.ModTime()
	if mod.IsZero() || mod.Unix() <= 0 { // built-in files have no time of their own
		mod = builtinTime
	}
	etag := ""
	h.Set("Last-Modified", mod.UTC().Format(http.TimeFormat))
	if x.conf.etag {
		etag = fmt.Sprintf(`"%x-%x"`, mod.Unix(), fi.Size())
		h.Set("Etag", etag)
	}
	if ct := x.contentType(); ct != "" {
		h.Set("Content-Type", ct)
	}
	size := fi.Size()
	if (x.w.override <= 0 || x.w.override == http.StatusOK) && x.conf.maxRanges > 0 {
		h.Set("Accept-Ranges", "bytes")
	}
	content, seeks := f.(io.ReadSeeker)
	if spec := r.Get("Range"); spec != "" && seeks && (x.w.override <= 0 || x.w.override == http.StatusOK) && x.conf.conditions(r, h.Get("Last-Modified"), etag) == http.StatusOK && !x.w.compresses(http.StatusOK) && rangeFresh(r.Get("If-Range"), etag, h.Get("Last-Modified")) {
		if x.ranges(content, spec, size) {
			return
		}
	}
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	x.w.WriteHeader(http.StatusOK)
	if x.r.HTTP.Method != http.MethodHead {
		io.CopyN(x.w, f, size)
	}
}
