package site

import (
	"fmt"
	"html"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
)

// list answers with what a folder holds (autoindex): folders first, by name, names cut at 50 characters.
func (x *exchange) list(dir string) {
	dir = strings.TrimSuffix(dir, "/") + "/"
	entries, err := os.ReadDir(dir)
	if err != nil {
		x.log("error", "opendir() %q failed (2: No such file or directory)", dir)
		x.fail(http.StatusNotFound)
		return
	}
	slices.SortStableFunc(entries, func(a, b fs.DirEntry) int {
		if a.IsDir() != b.IsDir() {
			if a.IsDir() {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name(), b.Name())
	})
	title := html.EscapeString(x.uri)
	var b strings.Builder
	fmt.Fprintf(&b, "<html>\r\n<head><title>Index of %s</title></head>\r\n<body>\r\n<h1>Index of %s</h1><hr><pre><a href=\"../\">../</a>\r\n", title, title)
	for _, e := range entries {
		fi, err := os.Stat(dir + e.Name())
		if strings.HasPrefix(e.Name(), ".") || err != nil {
			continue
		}
		name, size := e.Name(), strconv.FormatInt(fi.Size(), 10)
		if fi.IsDir() {
			name, size = name+"/", "-"
		}
		const width = 50
		shown, pad := name, ""
		if r := []rune(name); len(r) > width {
			shown = string(r[:width-3]) + "..&gt;"
		} else {
			pad, shown = strings.Repeat(" ", width-len(r)), html.EscapeString(name)
		}
		fmt.Fprintf(&b, "<a href=\"%s\">%s</a>%s %s %19s\r\n", escapeComponent(name), shown, pad, fi.ModTime().UTC().Format("02-Jan-2006 15:04"), size)
	}
	b.WriteString("</pre><hr></body>\r\n</html>\r\n")
	if !x.discards() {
		return
	}
	x.w.Header().Set("Content-Type", "text/html")
	x.w.WriteHeader(http.StatusOK)
	x.w.Write([]byte(b.String()))
}

func escapeComponent(name string) string {
	return strings.ReplaceAll(escape(name, " %?#\"<>\\^`{|}&:+=@,;$!*'()[]"), "%2F", "/")
}
