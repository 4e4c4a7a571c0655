package engine

import (
	"slices"
	"testing"

	"tlsurge/profiles/hello"
	"tlsurge/profiles/wire"
)

// EncryptedExtensions of OpenSSL 3.0, as s_client -trace shows them: the groups that the server would rather have used where
// it uses another, the code of max_fragment_length, and nothing about record_size_limit, of which it has not heard.
func TestEncryptedExtensionsOfStatem(t *testing.T) {
	ch := &hello.ClientHello{Version: wire.TLS12, HasExtensions: true, Extensions: []hello.Extension{
		{Type: wire.ExtMaxFragmentLength, Data: []byte{2}}, {Type: wire.ExtRecordSizeLimit, Data: []byte{4, 0}}}}
	for _, v := range []struct {
		why    string
		groups []wire.Group
		want   []wire.ExtensionType
	}{
		{"it uses the group that it likes best", []wire.Group{wire.X25519, wire.Secp256r1}, []wire.ExtensionType{wire.ExtMaxFragmentLength}},
		{"it would rather use another", []wire.Group{wire.Secp256r1, wire.X25519}, []wire.ExtensionType{wire.ExtMaxFragmentLength, wire.ExtSupportedGroups}},
	} {
		sc := &ServerConfig{Rules: RulesOpenSSL30(), Groups: v.groups}
		s := NewServer(sc)
		s.hs = &handshake{config: sc, hello: ch, h13: &handshake13{}}
		s.facts.Group = wire.X25519
		s.sendEncryptedExtensions(ch)
		m, err := wire.ParseEncryptedExtensions(s.AppendOutput(nil)[wire.RecordHeaderLen+wire.MessageHeaderLen:])
		if err != nil {
			t.Fatal(err)
		}
		var got []wire.ExtensionType
		for _, e := range m.Extensions {
			got = append(got, e.Type)
		}
		if !slices.Equal(got, v.want) {
			t.Errorf("%s: %v, expected %v", v.why, got, v.want)
		}
		if n := s.fragmentLimit(); n != 1024 {
			t.Errorf("records of up to %d bytes, the client asked for 1024", n)
		}
	}
}
