package schema

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// notation is how docs/files.md writes the type of a field.
func notation(s *Schema, required bool) string {
	if !required {
		return notation(s, true) + ", optional"
	}
	name := func(s *Schema) string { return strings.TrimPrefix(s.Ref, "#/$defs/") }
	or := ""
	if len(s.AnyOf) == 2 || len(s.Type) == 2 {
		or = " or null"
	}
	switch {
	case len(s.AnyOf) == 2:
		return name(s.AnyOf[0]) + or
	case s.Ref != "":
		return name(s)
	case s.Items != nil:
		return notation(s.Items, true) + "[]" + or
	case s.AdditionalProperties != nil:
		return "map of " + notation(s.AdditionalProperties, true) + or
	case s.Format != "":
		return s.Format + or
	}
	return s.Type[0] + or
}

// rowsOf are the rows that docs/files.md must have: by heading, field and type.
func rowsOf(d Document) map[string]map[string]string {
	out := map[string]map[string]string{}
	s := d.Schema()
	defs := s.Defs
	if s.Properties != nil {
		defs = append(slices.Clone(defs), Property{d.Name, s})
	}
	for _, def := range defs {
		out[def.Name] = map[string]string{}
		for _, p := range def.Properties {
			out[def.Name][p.Name] = notation(p.Schema, slices.Contains(def.Required, p.Name))
		}
		for _, v := range def.Enum {
			out[def.Name][v] = "value"
		}
	}
	return out
}

// TestPage: docs/files.md has every field of every document with its type and a meaning, and none that does not exist.
func TestPage(t *testing.T) {
	data, err := os.ReadFile("../../docs/files.md")
	if err != nil {
		t.Fatal(err)
	}
	page := map[string]map[string]string{}
	section := ""
	for line := range strings.Lines(string(data)) {
		if title, ok := strings.CutPrefix(line, "### "); ok {
			section = strings.TrimSpace(title)
			if page[section] != nil {
				t.Errorf("%s stands twice", section)
			}
			page[section] = map[string]string{}
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "| "), " | ")
		if field := strings.Trim(cells[0], "`"); strings.HasPrefix(line, "| `") {
			if len(cells) != 3 || len(strings.TrimSpace(cells[2])) < 3 {
				t.Errorf("%s, %s: want three cells, the last with what it means", section, field)
				continue
			}
			if _, twice := page[section][field]; twice {
				t.Errorf("%s, %s stands twice", section, field)
			}
			page[section][field] = cells[1]
		}
	}
	want := map[string]map[string]string{}
	for _, d := range Documents() {
		if !strings.Contains(string(data), "`bench schema "+d.Name+"`") {
			t.Errorf("the page does not name `bench schema %s`", d.Name)
		}
		for section, fields := range rowsOf(d) {
			want[section] = fields
		}
	}
	for section, fields := range want {
		for field, kind := range fields {
			got, ok := page[section][field]
			if !ok && section == "ExportedRequest" && want["Request"][field] == kind {
				continue // said of Request, whose fields it has
			}
			if got != kind {
				t.Errorf("docs/files.md, under %s: want the row | `%s` | %s | … |, have type %q", section, field, kind, got)
			}
		}
	}
	for section, fields := range page {
		for field := range fields {
			if _, ok := want[section][field]; !ok {
				t.Errorf("docs/files.md names %s under %s, which no file has", field, section)
			}
		}
	}
}
