package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"tlsurge/faults"
	"tlsurge/harness/scenario"
)

// setKernel turns the scenario's network settings before anything listens or connects, and says what they
// were. It is called in a network namespace of the run's own alone: the caller's settings are not ours.
//
// A name is that of sysctl, with or without its family: net.ipv4.tcp_fin_timeout, tcp_fin_timeout, somaxconn.
func setKernel(settings map[string]string) (notes []string, err error) {
	for _, name := range sortedKeys(settings) {
		full, path, err := kernelSetting(name)
		if err != nil {
			return nil, err
		}
		before, err := readSetting(path)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, []byte(settings[name]), 0o644); err != nil {
			if errors.Is(err, os.ErrPermission) {
				return nil, &faults.UnsupportedError{Engine: "kernel", What: full, Reason: err.Error(), Instead: "leave it out"}
			}
			return nil, &ConfigError{Text: fmt.Sprintf("kernel: %s = %q is refused: %v", full, settings[name], errors.Unwrap(err)), Err: err}
		}
		after, err := readSetting(path)
		if err != nil {
			return nil, err
		}
		notes = append(notes, fmt.Sprintf("the scenario sets %s = %s in the run's network namespace (it was %s)", full, after, before))
	}
	return notes, nil
}

// kernelSetting finds a setting that belongs to a network namespace.
func kernelSetting(name string) (full, path string, err error) {
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") != "" || strings.Contains(name, "..") {
		return "", "", &ConfigError{Text: fmt.Sprintf("kernel: %q is not a setting's name", name)}
	}
	tries := []string{name}
	if !strings.Contains(name, ".") {
		tries = []string{"net.ipv4." + name, "net.core." + name}
	} else if !strings.HasPrefix(name, "net.") {
		return "", "", &ConfigError{Text: fmt.Sprintf("kernel: %q is not a network setting; want a name as net.ipv4.tcp_fin_timeout", name)}
	}
	for _, full := range tries {
		path := filepath.Join("/proc/sys", strings.ReplaceAll(full, ".", "/"))
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return full, path, nil
		}
	}
	return "", "", &ConfigError{Text: fmt.Sprintf("kernel: this kernel has no %s in a network namespace of its own%s", strings.Join(tries, " or "), similarSetting(name))}
}

// similarSetting is the setting that was meant, if one is spelt much like it.
func similarSetting(name string) string {
	var names []string
	short := name[strings.LastIndexByte(name, '.')+1:]
	for _, family := range []string{"ipv4", "core"} {
		entries, _ := os.ReadDir(filepath.Join("/proc/sys/net", family))
		for _, e := range entries {
			if e.Type().IsRegular() {
				names = append(names, e.Name())
			}
		}
	}
	return scenario.Suggest(short, names)
}

// CheckKernel says whether the settings' names are good, and turns nothing.
func CheckKernel(settings map[string]string) error {
	for _, name := range sortedKeys(settings) {
		if _, _, err := kernelSetting(name); err != nil {
			return err
		}
	}
	return nil
}

// readSetting gives a setting in one line: ip_local_port_range is two numbers with a tab.
func readSetting(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("kernel: %w", err)
	}
	return strings.Join(strings.Fields(string(b)), " "), nil
}
