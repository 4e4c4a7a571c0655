package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// brief is a run that says what it was told and ends.
const brief = `
name = "brief"
[load]
connections = 6
duration = "1s"
ramp = "0s"
[[browsers]]
profile = "firefox-35-osx"
`

// TestKernelSettings: they are set in the run's own network namespace, as root and as an ordinary user,
// stand in the report with what they were, and the caller's stay as they are.
func TestKernelSettings(t *testing.T) {
	t.Parallel()
	const caller = "/proc/sys/net/ipv4/tcp_fin_timeout"
	before, err := os.ReadFile(caller)
	if err != nil {
		t.Fatal(err)
	}
	for _, uid := range []int{0, 65534} {
		if os.Getuid() != 0 && uid != os.Getuid() {
			continue
		}
		dir, code, said := runAs(t, uid, brief+"[kernel]\ntcp_fin_timeout = \"23\"\nsomaxconn = \"77\"\n\"net.ipv4.ip_local_port_range\" = \"20000 60000\"\n")
		if code != exitGood {
			t.Errorf("user %d: exit %d\n%s", uid, code, said)
			continue
		}
		p := readRun(t, dir)
		for _, want := range []string{"net.ipv4.tcp_fin_timeout = 23", "net.core.somaxconn = 77", "net.ipv4.ip_local_port_range = 20000 60000"} {
			if !slices.ContainsFunc(p.run.Verdict.Notes, func(n string) bool { return strings.Contains(n, want) && strings.Contains(n, "it was") }) {
				t.Errorf("user %d: no note says %q: %q", uid, want, p.run.Verdict.Notes)
			}
		}
	}
	if after, err := os.ReadFile(caller); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the caller's tcp_fin_timeout was %s and is %s (%v)", before, after, err)
	}
	for _, tc := range []struct{ why, setting, want string }{
		{"a name that there is not", `tcp_make_fast = "1"`, "no net.ipv4.tcp_make_fast or net.core.tcp_make_fast"},
		{"a name that is misspelt", `tcp_fin_timeuot = "1"`, `did you mean "tcp_fin_timeout"?`},
		{"a setting of another family", `"vm.swappiness" = "1"`, "not a network setting"},
		{"a value that the kernel refuses", `tcp_fin_timeout = "soon"`, `tcp_fin_timeout = "soon" is refused`},
	} {
		if _, code, said := runAs(t, os.Getuid(), brief+"[kernel]\n"+tc.setting+"\n"); code != exitUsage || !strings.Contains(said, tc.want) {
			t.Errorf("%s: exit %d, %s; want 2 and %q", tc.why, code, said, tc.want)
		}
	}
}

// runAs runs a scenario's text as another user.
func runAs(t *testing.T, uid int, text string) (dir string, code int, said string) {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	home, err := os.MkdirTemp("", "tlsurge-as-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	file := filepath.Join(home, "brief.toml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(home, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, uid, uid); err != nil && os.Getuid() == 0 {
		t.Fatal(err)
	}
	dir = filepath.Join(home, "run")
	cmd := exec.Command(path, "run", file, "--quiet", "--out", dir)
	cmd.Dir = home
	if uid != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	out, _ := cmd.CombinedOutput()
	return dir, cmd.ProcessState.ExitCode(), string(out)
}
