package symptom

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// stampWithin is how far into a line its time is looked for: behind the prefixes of syslog and containers.
const stampWithin = 120

// stamp finds the time of a line in any of the usual forms, the first that has a year, else syslog's, which
// has none and reads as year 0. Times without a zone read as UTC.
func stamp(line []byte) time.Time {
	head := line[:min(len(line), stampWithin)]
	for i := 0; i+10 <= len(head); i++ {
		c := head[i]
		switch {
		case isDigit(c) && (i == 0 || !isDigit(head[i-1])):
			if t := digitStamp(head[i:]); !t.IsZero() {
				return t
			}
		case c >= 'A' && c <= 'Z':
			// Tue Jan 13 12:22:59.123456 2015 (Apache, dmesg -T)
			if t := apacheStamp(head[i:]); !t.IsZero() {
				return t
			}
		}
	}
	for i := 0; i+15 <= min(len(head), 40); i++ {
		if head[i] >= 'A' && head[i] <= 'Z' {
			if m := month(head[i : i+3]); m > 0 {
				return clock(0, m, bytes.TrimLeft(head[i+4:i+6], " "), head[i+7:])
			}
		}
	}
	return klogStamp(head)
}

// digitStamp reads 2015/01/13 12:22:59, 2015-01-13T12:22:59.123+01:00, 2015.01.13 12:22:59 (stunnel),
// 13/Jan/2015:12:22:59 +0000, 13-Jan-2015 12:22:59 (Tomcat), 1/13/2015 12:22:59 PM (Windows) and seconds since 1970
// with a fraction (journalctl -o short-unix).
func digitStamp(b []byte) time.Time {
	switch {
	case len(b) >= 19 && (b[4] == '/' || b[4] == '-' || b[4] == '.') && b[7] == b[4]:
		m, err := strconv.Atoi(string(b[5:7]))
		year, err2 := strconv.Atoi(string(b[:4]))
		if err != nil || err2 != nil || m < 1 || m > 12 {
			return time.Time{}
		}
		t := clock(year, time.Month(m), b[8:10], b[11:])
		return t.Add(-zone(b[19:]))
	case len(b) >= 20 && (b[2] == '/' && b[6] == '/' && b[11] == ':' || b[2] == '-' && b[6] == '-' && b[11] == ' '):
		m := month(b[3:6])
		year, err := strconv.Atoi(string(b[7:11]))
		if m == 0 || err != nil {
			return time.Time{}
		}
		t := clock(year, m, b[:2], b[12:])
		return t.Add(-zone(b[20:]))
	case len(b) >= 12 && b[10] == '.' && b[0] == '1' && isDigit(b[9]):
		if s, err := strconv.ParseInt(string(b[:10]), 10, 64); err == nil {
			return time.Unix(s, 0).UTC()
		}
	}
	return americanStamp(b)
}

// americanStamp reads "1/13/2015 1:22:59 PM".
func americanStamp(b []byte) time.Time {
	m := digits(b)
	if m == 0 || m > 2 || len(b) < m+14 || b[m] != '/' {
		return time.Time{}
	}
	d := digits(b[m+1:])
	rest := b[m+1+d:]
	if d == 0 || d > 2 || len(rest) < 12 || rest[0] != '/' || digits(rest[1:]) != 4 || rest[5] != ' ' {
		return time.Time{}
	}
	monthOf, _ := strconv.Atoi(string(b[:m]))
	year, _ := strconv.Atoi(string(rest[1:5]))
	h := digits(rest[6:])
	hour, err := strconv.Atoi(string(rest[6 : 6+h]))
	if err != nil || h > 2 || monthOf < 1 || monthOf > 12 || len(rest) < 12+h {
		return time.Time{}
	}
	if half := bytes.TrimLeft(rest[12+h:], " "); bytes.HasPrefix(half, []byte("PM")) && hour < 12 {
		hour += 12
	} else if bytes.HasPrefix(half, []byte("AM")) && hour == 12 {
		hour = 0
	}
	return clock(year, time.Month(monthOf), b[m+1:m+1+d], append([]byte(fmt.Sprintf("%02d", hour)), rest[6+h:12+h]...))
}

// klogStamp reads "E0113 12:22:59.123456", which Go's services of Kubernetes begin their lines with.
func klogStamp(b []byte) time.Time {
	if len(b) < 14 || !bytes.ContainsRune([]byte("IWEF"), rune(b[0])) || digits(b[1:]) != 4 || b[5] != ' ' {
		return time.Time{}
	}
	m, _ := strconv.Atoi(string(b[1:3]))
	if m < 1 || m > 12 {
		return time.Time{}
	}
	return clock(0, time.Month(m), b[3:5], b[6:])
}

func apacheStamp(b []byte) time.Time {
	if len(b) < 24 || b[3] != ' ' || b[7] != ' ' || b[13] != ':' {
		return time.Time{}
	}
	m := month(b[4:7])
	rest := b[19:]
	if i := bytes.IndexByte(rest, ' '); i >= 0 {
		rest = rest[i+1:]
	}
	if m == 0 || len(rest) < 4 {
		return time.Time{}
	}
	year, err := strconv.Atoi(string(rest[:4]))
	if err != nil {
		return time.Time{}
	}
	return clock(year, m, bytes.TrimLeft(b[8:10], " "), b[11:])
}

// clock adds the time of day, "12:22:59", and a fraction where there is one.
func clock(year int, m time.Month, day, b []byte) time.Time {
	if len(b) < 8 || b[2] != ':' || b[5] != ':' {
		return time.Time{}
	}
	d, err := strconv.Atoi(string(day))
	h, err2 := strconv.Atoi(string(b[:2]))
	mi, err3 := strconv.Atoi(string(b[3:5]))
	s, err4 := strconv.Atoi(string(b[6:8]))
	if err != nil || err2 != nil || err3 != nil || err4 != nil || d < 1 || d > 31 || h > 23 || mi > 59 || s > 60 {
		return time.Time{}
	}
	return time.Date(year, m, d, h, mi, s, 0, time.UTC)
}

// zone reads what may follow a time: a fraction, then "Z", "+01:00", " +0100".
func zone(b []byte) time.Duration {
	if len(b) > 0 && (b[0] == '.' || b[0] == ',') {
		b = b[1:]
		for len(b) > 0 && isDigit(b[0]) {
			b = b[1:]
		}
	}
	if len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	if len(b) < 5 || b[0] != '+' && b[0] != '-' {
		return 0
	}
	minutes := b[3:5]
	if b[3] == ':' && len(b) >= 6 {
		minutes = b[4:6]
	}
	h, err := strconv.Atoi(string(b[1:3]))
	m, err2 := strconv.Atoi(string(minutes))
	if err != nil || err2 != nil || h > 14 || m > 59 {
		return 0
	}
	off := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
	if b[0] == '-' {
		return -off
	}
	return off
}

func month(b []byte) time.Month {
	const names = "JanFebMarAprMayJunJulAugSepOctNovDec"
	for i := 0; i < len(names); i += 3 {
		if string(b[:3]) == names[i:i+3] {
			return time.Month(i/3 + 1)
		}
	}
	return 0
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
