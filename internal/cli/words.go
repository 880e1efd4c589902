package cli

import (
	"errors"
	"slices"
	"strings"

	"bench/internal/record"
	"bench/internal/report"
	"bench/internal/vllm"
)

// advise adds to a server's refusal where it came from and what to do, where the refusal does not say so.
func advise(baseURL string, err error) error {
	e, ok := errors.AsType[*vllm.Error](err)
	if !ok {
		return err
	}
	advice := ""
	switch text := e.Message; {
	case e.Status == 403:
		advice = "the key is not allowed to do this, or a proxy stands between: check VLLM_API_KEY and --base-url"
	case e.Class == record.ErrEngineDead:
		advice = "look into the server's log and start it again"
	case e.Status == 502, e.Status == 503, e.Status == 504:
		advice = "a server that is still loading is waited for with --wait 10m"
	case e.Status >= 500:
		advice = "the server's log says why"
	case strings.Contains(text, "first record does not look like a TLS handshake"):
		advice = "this port speaks plain HTTP: use http:// in --base-url"
	case strings.Contains(text, "certificate"):
		advice = "use the host name the certificate is for in --base-url; name a certificate authority of your own in SSL_CERT_FILE"
	case strings.HasPrefix(text, "the server closed the connection without an answer"):
		advice = "if this port speaks TLS, use https:// in --base-url"
	case strings.Contains(text, "malformed HTTP"):
		advice = "what listens there speaks no HTTP: check --base-url"
	case e.Class == record.ErrBadPayload && !strings.Contains(text, "--base-url"):
		advice = "this is no OpenAI-compatible server, or something between changes its answers: check --base-url"
	case e.Class == record.ErrTimeout && e.Status == 0:
		advice = "is it a server that loads or hangs? --wait 10m waits for one that loads"
	}
	return &advisedError{baseURL, err, advice}
}

// advisedError is an error of a server with its address and what to do about it.
type advisedError struct {
	baseURL string
	err     error
	advice  string
}

func (e *advisedError) Error() string {
	text := e.err.Error()
	switch {
	case strings.Contains(text, e.baseURL):
	case strings.HasPrefix(text, "/"):
		text = strings.TrimRight(e.baseURL, "/") + text
	default:
		text = e.baseURL + ": " + text
	}
	if e.advice != "" {
		text += ": " + e.advice
	}
	return text
}

func (e *advisedError) Unwrap() error { return e.err }

// resumeCommand is what goes on with an interrupted command.
func resumeCommand(args []string) string {
	if !slices.Contains(args, "--resume") {
		args = append(slices.Clone(args), "--resume")
	}
	return command(args...)
}

// command is a bench command as one types it.
func command(args ...string) string {
	words := []string{"bench"}
	for _, arg := range args {
		if strings.ContainsAny(arg, " \t\n'\"\\$&|;<>()*?[]#~`!{}") || arg == "" {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}

// where are the flags that reach the same server and folder again; defaults are left out.
func where(baseURL, dir string) (args []string) {
	if baseURL != "" && baseURL != defaultURL {
		args = append(args, "--base-url", baseURL)
	}
	if dir != defaultOut {
		args = append(args, "--out", dir)
	}
	return args
}

// next is the one command that tells more than a report does, "" where nothing is open.
func next(dir string, in report.Input) string {
	unreached := false
	if in.Analysis != nil {
		for _, l := range in.Analysis.Ladders {
			unreached = unreached || !l.OOM.Reached && !l.LatencySurge.Reached && !l.Saturation.Reached
		}
	}
	switch {
	case len(in.Tests)+len(in.Open) == 0:
		return command(append([]string{"stress"}, where(in.Run.Server.BaseURL, dir)...)...) + "   (only the baseline was measured)"
	case unreached:
		return command(append(append([]string{"run"}, where(in.Run.Server.BaseURL, dir)...), "--resume", "--find-limit")...) + "   (the last test was no limit yet)"
	case in.Sizing == nil:
		return command("size", "--from", dir)
	}
	return ""
}
