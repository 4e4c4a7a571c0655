package site

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// conditions are If-Match, If-Unmodified-Since, If-None-Match and If-Modified-Since (RFC 9110 §13.2.2,
// Precedence); nginx takes If-Modified-Since as "exactly then", and an answer without a time as changed.
func (c *conf) conditions(r http.Header, modified, etag string) int {
	mod := int64(-1)
	if t, err := http.ParseTime(modified); err == nil {
		mod = t.Unix()
	}
	if v := r.Get("If-Unmodified-Since"); v != "" {
		if t, err := http.ParseTime(v); mod == -1 || err == nil && mod > t.Unix() {
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
		t, err := http.ParseTime(since)
		if c.ifModified == "off" || mod == -1 || err != nil || t.Unix() != mod && (c.ifModified == "exact" || t.Unix() < mod) {
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
	if x.conf.maxRanges == 0 {
		return false
	}
	list, ok := parseRanges(spec, size)
	if !ok {
		x.w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		x.fail(http.StatusRequestedRangeNotSatisfiable)
		return true
	}
	if list == nil || len(list) > x.conf.maxRanges {
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
	x.w.charset(http.StatusPartialContent)
	typ := h.Get("Content-Type")
	boundary := fmt.Sprintf("%020d", x.s.site.boundaries.Add(1))
	var heads []string
	total := int64(len("\r\n--" + boundary + "--\r\n"))
	for _, r := range list {
		head := "\r\n--" + boundary + "\r\n"
		if typ != "" {
			head += "Content-Type: " + typ + "\r\n"
		}
		head += fmt.Sprintf("Content-Range: bytes %d-%d/%d\r\n\r\n", r.start, r.end-1, size)
		heads = append(heads, head)
		total += int64(len(head)) + r.end - r.start
	}
	h.Set("Content-Type", "multipart/byteranges; boundary="+boundary)
	h.Set("Content-Length", strconv.FormatInt(total, 10))
	x.w.WriteHeader(http.StatusPartialContent)
	if x.r.HTTP.Method == http.MethodHead {
		return true
	}
	for i, r := range list {
		io.WriteString(x.w, heads[i])
		f.Seek(r.start, io.SeekStart)
		io.CopyN(x.w, f, r.end-r.start)
	}
	io.WriteString(x.w, "\r\n--"+boundary+"--\r\n")
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
