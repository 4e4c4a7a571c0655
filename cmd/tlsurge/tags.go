package main

import (
	"maps"
	"strings"
)

// parseTags reads labels as the command line gives them: key=value, each key once.
func parseTags(list []string) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	tags := map[string]string{}
	for _, t := range list {
		key, value, ok := strings.Cut(t, "=")
		if key = strings.TrimSpace(key); !ok || key == "" {
			return nil, usagef("--tag %s: want key=value, as --tag build=1234", t)
		}
		if _, twice := tags[key]; twice {
			return nil, usagef("--tag %s: %q has a value already", t, key)
		}
		tags[key] = value
	}
	return tags, nil
}

// merged lays tags over those that there are.
func merged(have, tags map[string]string) map[string]string {
	if len(tags) == 0 {
		return have
	}
	all := maps.Clone(have)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, tags)
	return all
}
