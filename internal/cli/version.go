package cli

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"bench/internal/gpu"

	"github.com/spf13/cobra"
)

// buildInfo is what the binary was built from.
type buildInfo struct {
	Version    string `json:"version"`            // of the module: a tag, or one made of the commit
	Revision   string `json:"revision,omitempty"` // commit; absent where it was not built in a checkout
	CommitTime string `json:"commit_time,omitempty"`
	Modified   *bool  `json:"modified,omitempty"` // the checkout differed from the commit
	Go         string `json:"go"`
	Platform   string `json:"platform"`
	Cgo        bool   `json:"cgo"`
	NVML       bool   `json:"nvml"` // GPUs are read through NVML where there is a driver; else through nvidia-smi
}

func build() buildInfo {
	b := buildInfo{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, NVML: gpu.HasNVML}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Version = cmp.Or(info.Main.Version, "(devel)")
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.CommitTime = s.Value
		case "vcs.modified":
			b.Modified = new(s.Value == "true")
		case "CGO_ENABLED":
			b.Cgo = s.Value == "1"
		}
	}
	return b
}

// version is one word for what the binary was built from.
func version() string {
	b := build()
	switch {
	case b.Version != "(devel)":
		return b.Version
	case len(b.Revision) >= 12:
		return "devel-" + b.Revision[:12]
	}
	return "devel"
}

func (a *app) versionCommand() *cobra.Command {
	var json bool
	c := &cobra.Command{
		Use:   "version",
		Short: "Say what this program was built from",
		Long: `version says which commit this program was built from, with which Go, and whether it reads
GPUs through NVML (a build with cgo on Linux) or through nvidia-smi.`,
		Example: `  bench version
  bench version --json`,
		Args: noWords(),
		RunE: func(*cobra.Command, []string) error {
			b := build()
			if json {
				return a.printJSON(b)
			}
			_, err := fmt.Fprint(a.Out, describeBuild(b))
			return err
		},
	}
	c.Flags().BoolVar(&json, "json", false, "print it as JSON")
	return c
}

func describeBuild(b buildInfo) string {
	text := "bench " + b.Version + "\n"
	if b.Revision != "" {
		text += "commit   " + b.Revision + " of " + b.CommitTime
		if b.Modified != nil && *b.Modified {
			text += ", with changes"
		}
		text += "\n"
	}
	reads := "GPUs through nvidia-smi (no cgo)"
	if b.NVML {
		reads = "GPUs through NVML, else nvidia-smi"
	}
	return text + fmt.Sprintf("built    with %s for %s\nreads    %s\n", b.Go, b.Platform, reads)
}
