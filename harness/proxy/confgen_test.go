package proxy

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
)

// confGen makes configurations and requests.
type confGen struct {
	*rand.Rand
	root, back string
	paths      []string // that requests may ask for
	named      int
	names      []string
}

func (g *confGen) one(of ...string) string { return of[g.IntN(len(of))] }

func (g *confGen) chance(percent int) bool { return g.IntN(100) < percent }

// some gives a few of the lines, in their order.
func (g *confGen) some(percent int, of ...string) string {
	var out strings.Builder
	for _, l := range of {
		if g.chance(percent) {
			out.WriteString(l + "\n")
		}
	}
	return out.String()
}

func (g *confGen) config() string {
	vars := []string{"$uri", "$args", "$host", "$request_uri", "$document_uri", "$is_args", "$arg_a", "$http_x_odd", "$cookie_id", "$request_method",
		"$server_protocol", "$scheme", "$https", "$server_name", "$remote_addr", "$realip_remote_addr", "$content_type", "$content_length", "$http_host",
		"$sent_http_content_type", "$sent_http_location", "$upstream_status", "$upstream_http_etag", "$mapped", "$other", "$geo", "$share", "$document_root",
		"$request_filename", "$query_string", "$remote_user", "$http_referer", "$request_length", "$nginx_version",
		"$request_completion", "$connection_requests", "$pipe", "$proxy_host", "$proxy_port", "$request_body", "$server_addr",
		"$uri$is_args$args", "$ssl_protocol", "$invalid_referer", "$http_cookie", "$sent_http_etag", "$realpath_root", "$upstream_addr", "$bytes_sent"}
	format := "$request $status"
	for range 8 {
		if v := vars[g.IntN(len(vars))]; v != "$nginx_version" && v != "$bytes_sent" && v != "$request_length" {
			format += " " + strings.TrimPrefix(v, "$") + `="` + v + `"`
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "error_log @dir@/error.log info; pid @dir@/pid;\nevents { worker_connections 64; }\nhttp {\n@temp@\n")
	fmt.Fprintf(&b, "server_tokens off; log_format diff%s '%s $body_bytes_sent'; access_log @dir@/access.log diff;\n", g.one("", " escape=json", " escape=none", " escape=default"), format)
	fmt.Fprintf(&b, "upstream app { server %s; }\n", g.back)
	b.WriteString("map $uri $mapped { " + g.some(50, "default d;", "hostnames;", "/a yes;", "~^/(a|x) re$1;", "~*\\.PNG$ png;", "/x.html $args;", "'' none;", `~(?<tail>[^/]+)$ $tail;`) + "}\n")
	b.WriteString("map $host $other { " + g.some(60, "hostnames;", "*.example.test star;", "example.test exact;", "www.example.* tail;", "default \"$uri x\";") + "}\n")
	b.WriteString("geo $geo { default out; 127.0.0.0/8 in; 127.0.0.1 me; 10.0.0.0/8 ten; }\n")
	b.WriteString("split_clients \"$uri$args\" $share { 20% a; 30.5% b; * c; }\n")
	b.WriteString(g.some(40, "types { text/html html; text/css css; image/png png; text/plain txt; application/javascript js; }", "default_type application/x-odd;",
		"charset utf-8;", "gzip on; gzip_min_length 1; gzip_types text/plain text/css; gzip_proxied any; gzip_comp_level 1;", "gzip_vary on;", "add_header X-Top $uri;",
		"error_page 404 /404.html;", "client_max_body_size 1k;", "absolute_redirect off;", "port_in_redirect off;", "server_name_in_redirect on;", "etag off;",
		"underscores_in_headers on;", "merge_slashes off;", "index index.html x.html;", "set_real_ip_from 127.0.0.1; real_ip_header X-Real;", "if_modified_since "+g.one("off", "exact", "before")+";",
		"max_ranges "+g.one("0", "1", "2")+";", "proxy_set_header X-Top $host;", "recursive_error_pages on;", "msie_padding off;", "expires "+g.one("1h", "-1", "epoch", "max", "off")+";",
		"proxy_http_version 1.1;", "valid_referers_placeholder"))
	text := strings.Replace(b.String(), "valid_referers_placeholder\n", "", 1)
	g.names = []string{"example.test"}
	for n := range 1 + g.IntN(3) {
		text += g.server(n)
	}
	return text + "}\n"
}

func (g *confGen) server(n int) string {
	name := []string{"example.test www.example.test", "*.wild.test .dot.test www.any.*", "~^(?<sub>\\w+)\\.re\\.test$"}[n]
	g.names = append(g.names, []string{"www.example.test", "a.wild.test", "sub.re.test", "dot.test", "x.dot.test", "www.any.org"}...)
	var b strings.Builder
	fmt.Fprintf(&b, "server {\nlisten @addr@;\nserver_name %s;\nroot %s;\n", name, g.root)
	b.WriteString(g.some(25, "rewrite ^/old/(.*)$ /a/$1;", "rewrite ^/old2/(.*)$ /a/$1? last;", "rewrite ^/out/(.*) http://elsewhere.test/$1;", "rewrite ^/perm/(.*)$ /a/$1 permanent;",
		"if ($arg_x) { return 403; }", "if ($http_x_odd ~* (od)d) { set $seen $1; }", "set $local \"$host-$args\";", "if ($request_method = DELETE) { return 405; }",
		"error_page 403 404 = @named0;", "error_page 500 502 503 504 /50x.html;", "error_page 403 =200 /x.html;", "error_page 404 =301 http://gone.test/;", "if ($host = dot.test) { rewrite ^ https://www.dot.test$request_uri? permanent; }",
		"if ($geo = in) { set $where here; }", "try_files $uri $uri/ =404;", "add_header X-Server $server_name always;", "autoindex on;", "rewrite ^/loop /loop;"))
	fmt.Fprintf(&b, "location @named0 { %s }\n", g.one("return 200 named-$uri;", "proxy_pass http://app;", "rewrite ^ /x.html break;", "root "+g.root+"/a; try_files /index.html =404;", "return 302 /x.html;"))
	used := map[string]bool{}
	for range 3 + g.IntN(6) {
		b.WriteString(g.location(0, "", used))
	}
	b.WriteString("}\n")
	return b.String()
}

func (g *confGen) location(depth int, within string, used map[string]bool) string {
	path := within + g.one("/", "/a", "/a/", "/a/b/", "/x.html", "/p/", "/p", "/list/", "/img", "/q", "/old/", "/deep/er/")
	mod := g.one("", "", "", "= ", "^~ ", "~ ", "~* ")
	pattern := path
	if strings.HasPrefix(mod, "~") {
		pattern = g.one(`\.html$`, `^/a/(.*)$`, `\.(png|css)$`, `^/(?<part>[a-z]+)/`, `/p(/|$)`, `^/list(?!/sub)`)
		if within != "" {
			pattern = "^" + within + g.one("(.*)$", ".*\\.txt$", "(?<rest>.)")
		}
	}
	if used[mod+pattern] || used[strings.TrimPrefix(mod, "^~ ")+pattern] {
		return ""
	}
	used[mod+pattern], used[strings.TrimPrefix(mod, "^~ ")+pattern] = true, true
	g.paths = append(g.paths, path)
	regex := strings.HasPrefix(mod, "~")
	var b strings.Builder
	fmt.Fprintf(&b, "location %s'%s' {\n", mod, pattern)
	b.WriteString(g.some(15, "add_header X-Loc '$uri|$args';", "expires 10;", "default_type text/x-loc;", "if ($arg_y = 1) { return 410; }", "if ($args ~ ^z=(.*)$) { set $zed $1; rewrite ^ /x.html?z2=$1; }", "set $local2 $uri;",
		"charset koi8-r;", "error_page 404 = /x.html;", "error_page 404 =202 @named0;", "internal;", "rewrite ^(/.*)/twice$ $1/once last;", "rewrite ^(.*)/stop$ $1/halt break;",
		g.one("deny 10.0.0.0/8; allow all;", "allow 10.0.0.0/8; deny all;", "auth_basic 'the realm'; auth_basic_user_file "+g.root+"/users;", "satisfy any; deny all; auth_basic x; auth_basic_user_file "+g.root+"/users;"),
		"types { }", "index x.html plain.txt;", "limit_except GET { deny all; }",
		"if (-f $request_filename) { break; }", "if (!-e $request_filename) { rewrite ^ /index.html last; }", "if ($http_cookie) { return 200 cookie-$cookie_id; }", "gzip_static on;", "autoindex on;",
		"valid_referers none blocked server_names *.friend.test ~\\.enemy\\.; if ($invalid_referer) { return 403; }", "client_max_body_size 10;", "etag off;", "break;", "max_ranges 1;"))
	switch g.IntN(9) {
	case 0:
		b.WriteString("return " + g.one("200 'body $uri $args $1'", "204", "301 /a/", "302 http://x.test$request_uri", "404", "403 'no'", "307 $scheme://$host/q", "500", "200", "418 tea", "303 relative", "/x", "https://only.test/$uri", "308 /y$is_args$args", "304") + ";\n")
		if strings.Contains(b.String(), "return /x;") {
			return ""
		}
	case 1:
		b.WriteString("try_files " + g.one("$uri $uri/ @named0", "$uri =404", "/a/b/file.css @named0", "$uri.html $uri /x.html", "$uri/ /index.html?q=$uri&$args", "/nope =418", "$uri /missing/$uri") + ";\n")
	case 2:
		if !regex {
			b.WriteString("alias " + g.root + g.one("/a/", "/a", "/x.html", "/list/") + ";\n")
		} else {
			b.WriteString("alias " + g.root + "/a/$1;\n")
		}
	case 3, 4:
		uri := g.one("", "", "/", "/back", "/back/", "/back/moved/", "/gone", "/cached")
		if regex {
			uri = ""
		}
		if g.chance(20) {
			uri = g.one("/v$uri", "$request_uri", "/v?$args", "/fixed/$1")
		}
		b.WriteString("proxy_pass http://app" + uri + ";\n")
		b.WriteString(g.some(20, "proxy_set_header X-A $host; proxy_set_header Host $http_host;", "proxy_redirect off;", "proxy_redirect http://app/back/ /front/;", "proxy_set_header Accept-Encoding '';", "proxy_hide_header X-Powered-By;",
			"proxy_intercept_errors on;", "proxy_method PUT;", "proxy_set_body 'b $uri';", "proxy_pass_request_headers off;", "proxy_pass_request_body off; proxy_set_header Content-Length '';", "proxy_cookie_domain back.test front.test;", "proxy_cookie_path /back/ /front/;",
			"proxy_pass_header Server;", "proxy_set_header Connection ''; proxy_http_version 1.1;", "proxy_buffering off;", "proxy_ignore_headers Expires;"))
	case 5:
		b.WriteString("empty_gif;\n")
	case 6:
		b.WriteString("root " + g.root + g.one("/a", "", "/list/") + ";\n")
	case 7:
		if depth == 0 && !regex && mod != "= " {
			inner := map[string]bool{}
			for range 2 {
				b.WriteString(g.location(1, path, inner))
			}
		}
	}
	b.WriteString("}\n")
	return b.String()
}

func (g *confGen) request(int) string {
	path := g.paths[g.IntN(len(g.paths))]
	path += g.one("", "", "", "index.html", "b/file.css", "b/pic.PNG", "one.txt", "moved", "gone", "fail", "none", "cached", "twice", "/twice", "/stop", "x y", "%20z", "a%2Fb", "a+b", "%C3%BC.txt", "%3Fq", "%23", "..//", "./x", "../plain.txt", "//", "sub", "sub/", "two%20&%20three.txt", "%25", "<>\"'`{}|^\\", ";p=1", "%0A", "%zz", "%", "/../../x", "a=b&c", "~u", "*", "ü")
	if g.chance(25) {
		path = g.one("/plain.txt", "/sp%20ace.txt", "/q%3Fm.txt", "/noext", "/nothing", "/old/x", "/old2/a?k=v", "/out/%20z?w", "/perm/a+b", "/a", "/list", "/list/", "/empty/", "/empty", "/plain.js", "/index.html", "/50x.html", "/loop", "/%C3%BC.txt", "/./a/../x.html", "/x.html/", "/plain.txt/more", "http://example.test/x.html", "/..", "/a/..", "/users", "*", "/a/%2e%2e/x.html")
	}
	if !strings.Contains(path, "?") && g.chance(40) {
		path += g.one("?", "?a=1", "?x=1", "?y=1", "?z=%20q", "?a=1&b=2", "?A=x", "?a", "?a=b%26c&d", "??", "?a=1#frag", "?=")
	}
	path = strings.ReplaceAll(path, " ", "%20")
	method := g.one("GET", "GET", "GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "TRACE", "get", "FOO")
	proto := g.one("HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0")
	host := g.names[g.IntN(len(g.names))]
	if g.chance(10) {
		host = g.one("EXAMPLE.test", "example.test.", "example.test:8080", "nobody.test", "[::1]", "127.0.0.1", "ex_ample", "a..b", "-x-", "192.0.2.1:x")
	}
	out := method + " " + path + " " + proto + "\r\n"
	if proto == "HTTP/1.1" || g.chance(50) {
		out += "Host: " + host + "\r\n"
	}
	auth := func(s string) string {
		return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(s)) + "\r\n"
	}
	for _, h := range []string{"X-Odd: oDd\r\n", "Cookie: id=7; other=\"x\"\r\n", "Accept-Encoding: gzip\r\n", "Accept-Encoding: gzip;q=0, deflate\r\n", "User-Agent: Mozilla/4.0 (MSIE 6.0) Chrome/1\r\n", "Referer: http://" + g.one("www.friend.test/x", "x.enemy.y/", "example.test/", "other/") + "\r\n",
		"Range: bytes=" + g.one("0-4", "5-", "-3", "0-1,3-4", "2-1", "0-0,-1", "1000-", "a-b", "0-4,2-8", "-0", "0-4,", " 1 - 2 ", "0-999999") + "\r\n", "If-Range: " + g.one(`"54b50e23-12c"`, `"x"`, "Tue, 13 Jan 2015 12:22:59 GMT") + "\r\n", "If-Modified-Since: " + g.one("Tue, 13 Jan 2015 12:22:59 GMT", "Tue, 13 Jan 2015 12:22:58 GMT", "Fri, 01 Jan 2021 00:00:00 GMT", "junk") + "\r\n",
		"If-None-Match: " + g.one(`"54b50e23-12c"`, `*`, `W/"54b50e23-12c", "y"`, `"no"`) + "\r\n", "If-Match: " + g.one("*", `"no"`, `W/"54b50e23-12c"`) + "\r\n", "If-Unmodified-Since: " + g.one("Tue, 13 Jan 2015 12:22:58 GMT", "Fri, 01 Jan 2021 00:00:00 GMT") + "\r\n", "X_Under: 1\r\n", "X-Real: " + g.one("10.1.2.3", "192.0.2.7, 10.0.0.9", "junk", "::1", "10.1.2.3:99") + "\r\n",
		auth("ann:secret"), auth("bob:password"), auth("cid:password"), auth("ann:wrong"), "Authorization: Basic !!!\r\n", "Via: 1.1 x\r\n", "Content-Type: text/x\r\n", "Upgrade: h2c\r\n", "X-Empty:\r\n", "X-Two: a\r\nX-Two: b\r\n", "Connection: keep-alive\r\n", "TE: trailers\r\n", "Keep-Alive: 5\r\n", "Proxy-Connection: x\r\n", "Expect: 100-continue\r\n"} {
		if g.chance(6) && !strings.Contains(out, strings.SplitN(h, ":", 2)[0]+":") {
			out += h
		}
	}
	body := ""
	if method == "POST" || method == "PUT" || g.chance(5) {
		switch g.IntN(4) {
		case 0:
			body = "hello"
		case 1:
			body = strings.Repeat("x", 1500)
		case 2:
			if proto == "HTTP/1.1" {
				return out + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\nTrailer: x\r\n\r\n"
			}
		}
		out += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	if !strings.Contains(out, "\nConnection:") && g.chance(60) {
		out += "Connection: close\r\n"
	}
	return out + "\r\n" + body
}
