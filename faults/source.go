package faults

import "net/netip"

// MaxRules is how many rules a scenario may have: one second octet each, from 64 to 254.
const MaxRules = 254 - firstSubnet + 1

// firstSubnet is the second octet of rule 0's source subnet.
const firstSubnet = 64

// hostsPerSubnet leaves the .0 and .255 hosts of each /24 out.
const hostsPerSubnet = 256 * 254

// loopback4 is where runs without a link live.
var loopback4 = netip.MustParsePrefix("127.0.0.0/8")

// SourceAddr is the n-th address of the rule's own source subnet, 127.(64+index).x.y. An armed connection
// that an edge, a relay or a link must recognise binds to it; n beyond 65,023 starts again at 0.
func SourceAddr(r *Rule, n uint32) netip.Addr { return SourceAddrIn(loopback4, r, n) }

// SourceAddrIn is SourceAddr in another /8 than loopback's, as a link has one (10.0.0.0/8).
func SourceAddrIn(net8 netip.Prefix, r *Rule, n uint32) netip.Addr {
	a := net8.Addr().As4()
	n %= hostsPerSubnet
	return netip.AddrFrom4([4]byte{a[0], byte(firstSubnet + r.Index), byte(n / 254), byte(1 + n%254)})
}

// SourceAddrFor is the n-th address of the rule's subnet that reaches this edge: loopback's for an edge on
// loopback, a link's for an edge behind a link, the IPv6 subnet's for an IPv6 edge in a namespace of ours.
func SourceAddrFor(r *Rule, n uint32, edge netip.Addr) netip.Addr {
	edge = edge.Unmap()
	if !edge.Is4() {
		a := SourcePrefix6(r).Addr().As16()
		n %= hostsPerSubnet
		a[14], a[15] = byte(n/254), byte(1+n%254)
		return netip.AddrFrom16(a)
	}
	if edge.As4()[0] == 10 {
		return SourceAddrIn(LinkNet, r, n)
	}
	return SourceAddr(r, n)
}

// LinkNet is the network of faults/link: clients, rules' subnets and servers.
var LinkNet = netip.MustParsePrefix("10.0.0.0/8")

// SourcePrefix is the subnet SourceAddr draws from.
func SourcePrefix(r *Rule) netip.Prefix { return SourcePrefixIn(loopback4, r) }

// SourcePrefixIn is the subnet SourceAddrIn draws from.
func SourcePrefixIn(net8 netip.Prefix, r *Rule) netip.Prefix {
	a := net8.Addr().As4()
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{a[0], byte(firstSubnet + r.Index), 0, 0}), 16)
}

// Prefix6 is ours where connections run over IPv6: a locally assigned prefix (RFC 4193 §3.1, Format) that only a
// namespace of our own routes to itself.
var Prefix6 = netip.MustParsePrefix("fd74:6c73:7572::/48")

// SourcePrefix6 is the rule's subnet of it: fd74:6c73:7572:(64+index)::/64.
func SourcePrefix6(r *Rule) netip.Prefix {
	a := Prefix6.Addr().As16()
	a[7] = byte(firstSubnet + r.Index)
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

// RuleOf finds the rule whose source subnet addr lies in, nil if none: how an edge recognises an armed
// connection. Only loopback's subnets and our own IPv6 prefix count: other addresses may be somebody's.
func RuleOf(rules []Rule, addr netip.Addr) *Rule { return RuleOfIn(loopback4, rules, addr) }

// RuleOfIn is RuleOf with the subnets of another /8 than loopback's.
func RuleOfIn(net8 netip.Prefix, rules []Rule, addr netip.Addr) *Rule {
	addr = addr.Unmap()
	for i := range rules {
		if r := &rules[i]; SourcePrefixIn(net8, r).Contains(addr) || SourcePrefix6(r).Contains(addr) {
			return r
		}
	}
	return nil
}
