package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v2"
)

// TestWorkflowsWouldRun holds docs/ci to what can be checked without their hosts: they are YAML, each step is one
// that its host knows, its commands are shell, and every tlsurge in them has arguments that this program takes.
func TestWorkflowsWouldRun(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../docs/ci/*.yml")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if err := yaml.UnmarshalStrict(text, &doc); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		var scripts []string
		if strings.Contains(file, "github") {
			scripts = githubScripts(t, doc)
		} else {
			scripts = gitlabScripts(t, doc)
		}
		commands := 0
		for _, s := range scripts {
			checkShell(t, s)
			for _, args := range tlsurgeIn(s) {
				commands++
				var out, said bytes.Buffer
				if code := run(append(args, "--help"), nil, &out, &said); code != exitGood {
					t.Errorf("%s: tlsurge %s: %s", file, strings.Join(args, " "), said.String())
				}
				for i, a := range args {
					if a == "--format" && !strings.Contains(strings.Join(formats, " "), args[i+1]) {
						t.Errorf("%s: no report has the format %s", file, args[i+1])
					}
				}
			}
		}
		if commands < 4 {
			t.Errorf("%s: %d commands of tlsurge found", file, commands)
		}
	}
}

// githubScripts lists what the steps run, and holds steps to their own keys.
func githubScripts(t *testing.T, doc map[string]any) (scripts []string) {
	t.Helper()
	action := regexp.MustCompile(`^[\w.-]+/[\w.-]+@v\d+$`)
	for name, j := range doc["jobs"].(map[any]any) {
		job := j.(map[any]any)
		if job["runs-on"] == nil || job["timeout-minutes"] == nil {
			t.Errorf("job %v says neither where nor how long", name)
		}
		for _, s := range job["steps"].([]any) {
			step := s.(map[any]any)
			for key := range step {
				if !strings.Contains(" name id if uses with run env shell working-directory continue-on-error timeout-minutes ", " "+key.(string)+" ") {
					t.Errorf("job %v: a step has no key %v", name, key)
				}
			}
			uses, isAction := step["uses"].(string)
			script, isScript := step["run"].(string)
			if isAction == isScript || isAction && !action.MatchString(uses) {
				t.Errorf("job %v: a step is an action with a version or a script: %v", name, step)
			}
			scripts = append(scripts, script)
		}
	}
	return scripts
}

func gitlabScripts(t *testing.T, doc map[string]any) (scripts []string) {
	t.Helper()
	for name, j := range doc {
		job := j.(map[any]any)
		if job["image"] == nil || job["script"] == nil || job["timeout"] == nil {
			t.Errorf("job %s has no image, no script or no timeout", name)
		}
		for _, key := range []string{"script", "after_script"} {
			lines, _ := job[key].([]any)
			for _, l := range lines {
				scripts = append(scripts, l.(string))
			}
		}
	}
	return scripts
}

// checkShell has bash read a script without running it; an expression of the host is a word to it.
func checkShell(t *testing.T, script string) {
	t.Helper()
	cmd := exec.Command("bash", "-n")
	cmd.Stdin = strings.NewReader(regexp.MustCompile(`\$\{\{.*?\}\}`).ReplaceAllString(script, "expression"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s\n%s", err, out, script)
	}
}

// tlsurgeIn lists the arguments of each tlsurge that a script starts, up to where the shell takes over.
func tlsurgeIn(script string) (all [][]string) {
	for line := range strings.Lines(script) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "bin/tlsurge ")
		if !ok {
			continue
		}
		rest, _, _ = strings.Cut(rest, " >")
		all = append(all, strings.Fields(strings.NewReplacer(`"`, "", "$SEED", "42").Replace(rest)))
	}
	return all
}
