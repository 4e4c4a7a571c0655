package site

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
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
	case http.MethodGet, http.MethodHead:
	default:
		x.fail(http.StatusMethodNotAllowed)
		return
	}
	if strings.HasSuffix(x.uri, "/") {
		x.indexOf()
		return
	}
	name := x.filename()
	fi, err := stat(name)
	switch {
	case os.IsPermission(err):
		x.log("error", "open() %q failed (13: Permission denied)", name)
		x.fail(http.StatusForbidden)
		return
	case err != nil:
		x.log("error", "open() %q failed (2: No such file or directory)", name)
		x.fail(http.StatusNotFound)
		return
	case fi.IsDir():
		to := escapePath(x.uri) + "/"
		if x.args != "" {
			to += "?" + x.args
		}
		x.failWith(http.StatusMovedPermanently, x.absolute(to))
		return
	case !fi.Mode().IsRegular():
		x.fail(http.StatusNotFound)
		return
	}
	f, err := open(name)
	if err != nil {
		x.log("error", "open() %q failed (13: Permission denied)", name)
		x.fail(http.StatusForbidden)
		return
	}
	defer f.Close()
	x.file(f, fi)
}

// indexOf sends a folder's request on to its first index file that exists.
func (x *exchange) indexOf() {
	dir := x.filename()
	for _, name := range x.conf.index {
		if fi, err := stat(dir + name); err == nil && !fi.IsDir() {
			to := x.uri + name
			if x.args != "" {
				to += "?" + x.args
			}
			x.redirected = true
			x.uri, x.args, _ = strings.Cut(to, "?")
			x.conf = x.s.conf
			x.route()
			return
		}
	}
	if _, err := stat(strings.TrimSuffix(dir, "/")); err != nil {
		x.log("error", "%q is not found (2: No such file or directory)", dir+firstOf(x.conf.index))
		x.fail(http.StatusNotFound)
		return
	}
	x.log("error", "directory index of %q is forbidden", dir)
	x.fail(http.StatusForbidden)
}

func firstOf(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}

// tryFiles sends the request to the first name that exists; the last is a URI, a named location or =status.
func (x *exchange) tryFiles() {
	list := x.conf.tryFiles
	for _, t := range list[:len(list)-1] {
		name := t.eval(x)
		uri := x.uri
		x.uri = name
		fi, err := stat(x.filename())
		if err == nil && fi.IsDir() == strings.HasSuffix(name, "/") {
			if strings.HasSuffix(name, "/") {
				x.indexOf()
			} else {
				x.static()
			}
			return
		}
		x.uri = uri
	}
	last := list[len(list)-1].eval(x)
	if code, ok := strings.CutPrefix(last, "="); ok {
		n, _ := strconv.Atoi(code)
		x.fail(n)
		return
	}
	if loc := x.s.named[last]; loc != nil {
		x.redirected = true
		x.enter(loc)
		if x.runLocation(loc) != answered {
			x.content()
		}
		return
	}
	x.redirect(last)
}

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
	if x.w.override == 0 {
		switch code := conditions(r, mod.Unix(), etag); code {
		case http.StatusPreconditionFailed:
			x.fail(code)
			return
		case http.StatusNotModified:
			h.Del("Content-Type")
			x.w.WriteHeader(code)
			return
		}
	}
	size := fi.Size()
	if x.w.override <= 0 || x.w.override == http.StatusOK {
		h.Set("Accept-Ranges", "bytes")
	}
	content, seeks := f.(io.ReadSeeker)
	if spec := r.Get("Range"); spec != "" && seeks && x.w.override == 0 && !x.w.compresses(http.StatusOK) && rangeFresh(r.Get("If-Range"), etag, h.Get("Last-Modified")) {
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

// conditions are If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since (RFC 9110 §13.2.2,
// Precedence); nginx takes If-Modified-Since as "exactly then".
func conditions(r http.Header, mod int64, etag string) int {
	if v := r.Get("If-Unmodified-Since"); v != "" {
		if t, err := http.ParseTime(v); err == nil && mod > t.Unix() {
			return http.StatusPreconditionFailed
		}
	}
	if v := r.Get("If-Match"); v != "" && !matchesTag(v, etag, false) {
		return http.StatusPreconditionFailed
	}
	since, none := r.Get("If-Modified-Since"), r.Get("If-None-Match")
	if since == "" && none == "" {
		return http.StatusOK
	}
	if since != "" {
		if t, err := http.ParseTime(since); err != nil || t.Unix() != mod {
			return http.StatusOK
		}
	}
	if none != "" && !matchesTag(none, etag, true) {
		return http.StatusOK
	}
	return http.StatusNotModified
}

func matchesTag(list, etag string, weak bool) bool {
	if strings.TrimSpace(list) == "*" {
		return true
	}
	for _, item := range strings.Split(list, ",") {
		item = strings.TrimSpace(item)
		if weak {
			item = strings.TrimPrefix(item, "W/")
		}
		if item == etag && etag != "" {
			return true
		}
	}
	return false
}

func rangeFresh(ifRange, etag, modified string) bool {
	return ifRange == "" || ifRange == etag || ifRange == modified
}

type span struct{ start, end int64 } // end is past the last byte

// ranges answers a Range request; false: the whole file is to be sent.
func (x *exchange) ranges(f io.ReadSeeker, spec string, size int64) bool {
	list, ok := parseRanges(spec, size)
	if !ok {
		x.w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		x.fail(http.StatusRequestedRangeNotSatisfiable)
		return true
	}
	if list == nil {
		return false
	}
	h := x.w.Header()
	h.Del("Accept-Ranges")
	if len(list) == 1 {
		r := list[0]
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", r.start, r.end-1, size))
		h.Set("Content-Length", strconv.FormatInt(r.end-r.start, 10))
		x.w.WriteHeader(http.StatusPartialContent)
		if x.r.HTTP.Method != http.MethodHead {
			f.Seek(r.start, io.SeekStart)
			io.CopyN(x.w, f, r.end-r.start)
		}
		return true
	}
	typ := h.Get("Content-Type")
	mw := multipart.NewWriter(x.w)
	h.Set("Content-Type", "multipart/byteranges; boundary="+mw.Boundary())
	x.w.WriteHeader(http.StatusPartialContent)
	for _, r := range list {
		p, err := mw.CreatePart(textproto.MIMEHeader{"Content-Type": {typ},
			"Content-Range": {fmt.Sprintf("bytes %d-%d/%d", r.start, r.end-1, size)}})
		if err != nil {
			return true
		}
		f.Seek(r.start, io.SeekStart)
		io.CopyN(p, f, r.end-r.start)
	}
	mw.Close()
	return true
}

// parseRanges reads "bytes=…" (RFC 9110 §14.1.2, Byte Ranges). nil and true: answer with the whole file; false:
// not satisfiable or malformed, which nginx answers alike.
func parseRanges(spec string, size int64) ([]span, bool) {
	list, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(spec)), "bytes=")
	if !ok {
		return nil, true
	}
	var out []span
	var total int64
	for _, item := range strings.Split(list, ",") {
		from, to, ok := strings.Cut(strings.TrimSpace(item), "-")
		from, to = strings.TrimSpace(from), strings.TrimSpace(to)
		if !ok {
			return nil, false
		}
		var r span
		if from == "" {
			n, err := strconv.ParseInt(to, 10, 63)
			if err != nil || n < 0 {
				return nil, false
			}
			r = span{max(0, size-n), size}
		} else {
			start, err := strconv.ParseInt(from, 10, 63)
			if err != nil || start < 0 {
				return nil, false
			}
			r = span{start, size}
			if to != "" {
				end, err := strconv.ParseInt(to, 10, 63)
				if err != nil || end < 0 {
					return nil, false
				}
				r.end = min(size, end+1)
			}
		}
		if r.start >= r.end {
			continue
		}
		out = append(out, r)
		total += r.end - r.start
	}
	if len(out) == 0 {
		return nil, false
	}
	if total > size || len(out) > 64 {
		return nil, true
	}
	return out, true
}
