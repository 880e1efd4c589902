package capacity

import (
	"regexp"
	"strconv"
)

// version is a vLLM release. Builds between releases count as the release they lead to.
type version struct{ major, minor, patch int }

// newest stands for a version not given: later than every rule below knows.
var newest = version{1 << 20, 0, 0}

var versionPattern = regexp.MustCompile(`(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?`)

// parseVersion reads "0.27.1", "v0.8.0rc3.dev5+g5eeabc2a" or "~0.11". What holds no version, and
// the 0.1.dev builds of a source tree without tags, is taken for the newest.
func parseVersion(s string) version {
	m := versionPattern.FindStringSubmatch(s)
	if m == nil {
		return newest
	}
	var n [3]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // an absent patch is 0; the pattern leaves nothing else to fail
	}
	v := version{n[0], n[1], n[2]}
	if v == (version{0, 1, 0}) {
		return newest
	}
	return v
}

func (v version) before(major, minor int) bool { return v.beforePatch(major, minor, 0) }

func (v version) beforePatch(major, minor, patch int) bool {
	if v.major != major {
		return v.major < major
	}
	if v.minor != minor {
		return v.minor < minor
	}
	return v.patch < patch
}
