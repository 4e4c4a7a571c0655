package nginxconf

import "strings"

// mimeTypes stands in for a file mime.types that is included and missing.
const mimeTypes = `types {
    text/html html htm shtml;
    text/css css;
    text/xml xml;
    text/plain txt;
    image/gif gif;
    image/jpeg jpeg jpg;
    image/png png;
    image/x-icon ico;
    image/x-ms-bmp bmp;
    image/svg+xml svg svgz;
    image/webp webp;
    application/x-javascript js;
    application/atom+xml atom;
    application/rss+xml rss;
    application/font-woff woff;
    application/vnd.ms-fontobject eot;
    application/json json;
    application/pdf pdf;
    application/x-shockwave-flash swf;
    application/zip zip;
    application/octet-stream bin exe ttf;
    audio/mpeg mp3;
    video/mp4 mp4;
    video/webm webm;
    video/x-flv flv;
    video/x-msvideo avi;
}`

// standIn gives the built-in types in the place of an include that finds no file.
func standIn(d *Directive) ([]*Directive, error) {
	return Parse(d.File, []byte(strings.ReplaceAll(mimeTypes, "\n", " ")))
}
