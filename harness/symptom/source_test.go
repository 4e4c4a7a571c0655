package symptom

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"
)

const oneLine = "2015/01/13 12:22:59 [crit] 1#0: *2 SSL_do_handshake() failed (SSL: error:1408A0D7:SSL routines:SSL3_GET_CLIENT_HELLO:required cipher missing) while SSL handshaking, client: 10.0.0.%, server: 0.0.0.0:443\n"

func someLines(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Replace(oneLine, "%", string(rune('0'+i%10)), 1))
	}
	return b.String()
}

func inUTF16(text string, little, mark bool) []byte {
	units := utf16.Encode([]rune(text))
	if mark {
		units = append([]uint16{0xfeff}, units...)
	}
	var out []byte
	for _, u := range units {
		if little {
			out = append(out, byte(u), byte(u>>8))
		} else {
			out = append(out, byte(u>>8), byte(u))
		}
	}
	return out
}

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestEncodings: however a log is written, it tells the same.
func TestEncodings(t *testing.T) {
	text := someLines(20)
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for why, data := range map[string][]byte{
		"CRLF":                       []byte(strings.ReplaceAll(text, "\n", "\r\n")),
		"a UTF-8 mark":               []byte("\ufeff" + text),
		"UTF-16LE with its mark":     inUTF16(text, true, true),
		"UTF-16BE with its mark":     inUTF16(text, false, true),
		"UTF-16LE without":           inUTF16(text, true, false),
		"UTF-16, CRLF":               inUTF16(strings.ReplaceAll(text, "\n", "\r\n"), true, true),
		"UTF-16 with a pair":         inUTF16("\U0001f512 "+text, true, true)[:],
		"gzip":                       zipped(t, text),
		"two members of gzip":        append(zipped(t, text[:len(text)/2]), zipped(t, text[len(text)/2:])...),
		"UTF-16 in gzip":             zipped(t, string(inUTF16(text, true, true))),
		"zstd":                       z.EncodeAll([]byte(text), nil),
		"a hole":                     append(make([]byte, 300_000), text...),
		"colours":                    []byte(strings.ReplaceAll(text, "[crit]", "\x1b[1;31m[crit]\x1b[0m")),
		"Latin-1":                    []byte(strings.ReplaceAll(text, "server: ", "server: caf\xe9, server: ")),
		"a NUL in each line":         []byte(strings.ReplaceAll(text, "server: ", "\x00server: ")),
		"no end of line at the end":  []byte(strings.TrimSuffix(text, "\n")),
		"a line of 10 MB before":     append([]byte(strings.Repeat("x", 10<<20)+"\n"), text...),
		"a line of 10 MB behind":     append([]byte(text), bytes.Repeat([]byte("y"), 10<<20)...),
		"with bytes of another sort": append([]byte("\x01\x02\x03\x04\xff\xfe\xfd\n"), text...),
	} {
		r := readText(t, string(data))
		if len(r.Signatures) != 1 || r.Signatures[0].Count != 20 || r.Signatures[0].Code != "1408A0D7" || r.Signatures[0].Clients != 10 {
			t.Errorf("%s: %q, %d lines, %d unreadable", why, lines(r), r.Lines, r.Unreadable)
		}
		if want := strings.Contains(why, "10 MB") || strings.Contains(why, "another sort"); (r.Unreadable == 1) != want {
			t.Errorf("%s: %d unreadable lines", why, r.Unreadable)
		}
	}
}

func TestNotToBeUnpacked(t *testing.T) {
	for magic, want := range map[string]string{"\xfd7zXZ\x00": "xz", "PK\x03\x04": "zip"} {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, []byte(magic+"…"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(context.Background(), []string{path}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", magic, err)
		}
	}
}

// TestStdin: "-" is the standard input, beside files and words.
func TestStdin(t *testing.T) {
	s := Source{Stdin: strings.NewReader(someLines(7))}
	r, err := s.Read(context.Background(), []string{"-", "ERR_CONNECTION_RESET"})
	if err != nil || len(r.Signatures) != 2 || r.Signatures[0].Count != 7 {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := Read(context.Background(), []string{"-"}, nil); err == nil {
		t.Error("no standard input, and no error")
	}
}

func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestFIFO: a pipe is read to its end, or for as long as patience lasts.
func TestFIFO(t *testing.T) {
	path := fifo(t)
	go func() { _ = os.WriteFile(path, []byte(someLines(5)), 0) }()
	r, err := Read(context.Background(), []string{path}, nil)
	if err != nil || len(r.Signatures) != 1 || r.Signatures[0].Count != 5 {
		t.Errorf("a pipe that ends: %v, %v", r, err)
	}

	path = fifo(t)
	done := make(chan struct{})
	go func() {
		w, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, _ = io.WriteString(w, someLines(6))
			<-done // and stays open, as tail -f does
			_ = w.Close()
		}
	}()
	r, err = Source{Patience: 300 * time.Millisecond}.Read(context.Background(), []string{path})
	close(done)
	if err != nil || len(r.Signatures) != 1 || r.Signatures[0].Count != 6 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "had not ended") {
		t.Errorf("a pipe that does not end: %+v, %v", r, err)
	}

	_, err = Source{Patience: 50 * time.Millisecond}.Read(context.Background(), []string{fifo(t)})
	if err == nil || !strings.Contains(err.Error(), "nothing came") {
		t.Errorf("a pipe that nobody opens: %v", err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err = Read(ctx, []string{fifo(t)}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an interrupt while nobody writes: %v", err)
	}
}
