package site

import (
	"bytes"
	"errors"
	"io"
	"os"
)

// body is a request body that may have to be sent again.
type body struct {
	r      io.Reader
	length int64 // -1: chunked
	seeker io.ReadSeeker
	failed error // why it could not be read to its end: the client's doing
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		b.failed = err
	}
	return n, err
}

// rewind makes the body ready for another try; false: its bytes are gone.
func (b *body) rewind() bool {
	if b.r == nil || b.length == 0 {
		return true
	}
	if b.seeker == nil {
		return false
	}
	_, err := b.seeker.Seek(0, io.SeekStart)
	return err == nil
}

// keptBody is how long a body may be for $request_body to hold it: nginx's default buffer.
const keptBody = 16 << 10

// ErrTooLarge is a body of unknown length that turns out longer than client_max_body_size.
var ErrTooLarge = errors.New("body larger than client_max_body_size")

// requestBody prepares the body: as it comes where its length is known or the upstream takes chunks; else, for
// HTTP/1.0, it is collected in a file first, whose length then is known.
func (x *exchange) requestBody() (*body, io.Closer, error) {
	r := x.r.HTTP
	if x.s.site.keepBody && r.ContentLength > 0 && r.ContentLength <= keptBody && (x.conf.maxBody == 0 || r.ContentLength <= x.conf.maxBody) {
		text, err := io.ReadAll(r.Body)
		x.sentBody = string(text)
		reader := bytes.NewReader(text)
		return &body{r: reader, length: int64(len(text)), seeker: reader}, nil, err
	}
	if r.ContentLength >= 0 {
		return &body{r: r.Body, length: r.ContentLength}, nil, nil
	}
	limit := x.conf.maxBody
	var src io.Reader = r.Body
	if limit > 0 {
		if b, ok := r.Body.(interface{ Limit(int64) }); ok { // a chunk says its size first
			b.Limit(limit)
		}
		src = io.LimitReader(src, limit+1)
	}
	f, err := os.CreateTemp("", "tlsurge-body-")
	if err != nil {
		return nil, nil, err
	}
	os.Remove(f.Name())
	n, err := io.Copy(f, src)
	if err == nil && limit > 0 && n > limit {
		err = ErrTooLarge
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	x.bodyLength = n
	return &body{r: f, length: n, seeker: f}, f, nil
}
