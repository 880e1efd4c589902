package report

import (
	"fmt"
	"strings"
)

// markdown writes the document for a repository or a chat: GitHub's dialect, charts by link.
func markdown(doc document) []byte {
	var out strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	line("# %s\n", escapeMarkdown(doc.title))
	if doc.subtitle != "" {
		line("%s\n", escapeMarkdown(doc.subtitle))
	}
	if doc.banner != "" {
		line("> **%s**\n", escapeMarkdown(doc.banner))
	}
	for i, s := range doc.lead {
		line("%d. %s", i+1, escapeMarkdown(s))
	}
	for _, s := range doc.sections {
		line("\n## %s", escapeMarkdown(s.title))
		for _, b := range s.blocks {
			out.WriteByte('\n')
			switch {
			case b.para != "":
				line("%s", escapeMarkdown(b.para))
			case b.list != nil:
				for _, item := range b.list {
					line("- %s", escapeMarkdown(item))
				}
			case b.figure != nil:
				line("![%s](charts/%s.svg)\n\n%s", escapeMarkdown(b.figure.alt), b.figure.name, escapeMarkdown(b.figure.caption))
			case b.table != nil:
				out.WriteString(markdownTable(b.table))
			}
		}
	}
	return []byte(out.String())
}

func markdownTable(t *table) string {
	var out strings.Builder
	if t.caption != "" {
		out.WriteString("**" + escapeMarkdown(t.caption) + "**\n\n")
	}
	rule := "|"
	out.WriteByte('|')
	for _, c := range t.columns {
		out.WriteString(" " + escapeMarkdown(c.title) + " |")
		if c.right {
			rule += "---:|"
		} else {
			rule += "---|"
		}
	}
	out.WriteString("\n" + rule + "\n")
	for _, r := range t.rows {
		out.WriteByte('|')
		for _, c := range r {
			out.WriteString(" " + escapeMarkdown(c.text) + " |")
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// escapeMarkdown keeps text from being read as markup: names and messages come from servers. Text
// in backquotes is a command of this program's own and stays as code.
func escapeMarkdown(s string) string {
	parts := strings.Split(clean(s), "`")
	if len(parts)%2 == 0 { // an odd backquote out: none of them means code
		return escapeMarkup(strings.Join(parts, "'"))
	}
	for i := range parts {
		if i%2 == 0 {
			parts[i] = escapeMarkup(parts[i])
		} else {
			parts[i] = "`" + strings.ReplaceAll(parts[i], "|", `\|`) + "`"
		}
	}
	return strings.Join(parts, "")
}

func escapeMarkup(s string) string {
	return strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", "&lt;", ">", "&gt;", "&", "&amp;", "*", `\*`, "_", `\_`,
		"[", `\[`, "]", `\]`, "#", `\#`, "://", `:\//`).Replace(s)
}
