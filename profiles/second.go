package profiles

import (
	"errors"
	"fmt"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// second builds the ClientHello after a HelloRetryRequest.
//
// RFC 8446 §4.1.2, Client Hello: the client MUST send the same ClientHello without modification, except:
// key_share holds a single entry of the group asked for; early_data goes; a cookie comes; pre_shared_key
// gets a new age and binder; padding may change.
func (pr *Profile) second(p *HelloParams) (*hello.ClientHello, error) {
	first := p.Second.First
	if first == nil {
		return nil, errors.New("HelloParams.Second names no first hello")
	}
	s := pr.spec
	if p.Variant != "" && pr.variants[p.Variant] != nil {
		s = pr.variants[p.Variant]
	}
	ch := first.Clone()
	ch.Fragments = nil
	if s.second != 0 {
		ch.RecordVersion = s.second
	}
	out := ch.Extensions[:0]
	var psk *hello.Extension
	for i := range ch.Extensions {
		e := ch.Extensions[i]
		switch e.Type {
		case wire.ExtEarlyData, wire.ExtPadding, wire.ExtPaddingDraft:
			continue
		case wire.ExtCookie:
			continue
		case wire.ExtPreSharedKey:
			psk = &e
			continue
		case wire.ExtKeyShare:
			if p.Second.Group != 0 {
				data, err := appendShare([]byte{0, 0}, p, p.Second.Group)
				if err != nil {
					return nil, fmt.Errorf("profile %s: %w", pr.Name, err)
				}
				data[0], data[1] = byte((len(data)-2)>>8), byte(len(data)-2)
				e.Data = data
			}
		}
		out = append(out, e)
		if e.Type == wire.ExtKeyShare && len(p.Second.Cookie) > 0 {
			out = append(out, hello.Extension{Type: wire.ExtCookie, Data: wire.AppendVec16(nil, p.Second.Cookie)})
		}
	}
	ch.Extensions = out
	pskLen := 0
	if psk != nil && p.Resume != nil && len(p.Resume.Identity) > 0 {
		psk.Data = appendPSK(nil, p.Resume)
		pskLen = 4 + len(psk.Data)
	}
	sh := &shape{spec: s, block: true}
	if n, ok := sh.pad(ch, pskLen); ok {
		ch.Extensions = append(ch.Extensions, hello.Extension{Type: s.padding.typ, Data: zeros[:n:n]})
	}
	if pskLen > 0 {
		ch.Extensions = append(ch.Extensions, *psk)
	}
	return ch, nil
}
