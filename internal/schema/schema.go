// Package schema owns the description of every file bench writes: JSON Schemas made from the types that are encoded,
// with the words of docs/files.md. It reads and checks no document.
package schema

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Dialect is the JSON Schema version of what this package makes.
const Dialect = "https://json-schema.org/draft/2020-12/schema"

// Schema is the part of JSON Schema that bench's documents need. It allows further properties: a newer bench of the same
// major version may write fields this one does not know.
type Schema struct {
	Dialect              string     `json:"$schema,omitempty"`
	Title                string     `json:"title,omitempty"`
	Description          string     `json:"description,omitempty"`
	Ref                  string     `json:"$ref,omitempty"`
	Type                 Types      `json:"type,omitempty"`
	Format               string     `json:"format,omitempty"`
	Const                string     `json:"const,omitempty"`
	Enum                 []string   `json:"enum,omitempty"`
	AnyOf                []*Schema  `json:"anyOf,omitempty"`
	Items                *Schema    `json:"items,omitempty"`
	Properties           Properties `json:"properties,omitempty"`
	AdditionalProperties *Schema    `json:"additionalProperties,omitempty"`
	Required             []string   `json:"required,omitempty"`
	Defs                 Properties `json:"$defs,omitempty"`
}

// Types are the JSON types a value may have; one alone is written without brackets.
type Types []string

// MarshalJSON implements [json.Marshaler].
func (t Types) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}

// Property is one named schema of an object.
type Property struct {
	Name string
	*Schema
}

// Properties keep the order in which the fields are written.
type Properties []Property

// MarshalJSON implements [json.Marshaler].
func (ps Properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, p := range ps {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(p.Name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(p.Schema)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// generator makes the schemas of one document; structs and enumerations become definitions that are referred to.
type generator struct {
	defs  Properties
	words map[string]map[string]string // of fields, by type
}

var timeType = reflect.TypeFor[time.Time]()

// of is the schema of the values of a type.
func (g *generator) of(t reflect.Type) *Schema {
	if t == timeType {
		return &Schema{Type: Types{"string"}, Format: "date-time"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return nullable(g.of(t.Elem()))
	case reflect.Struct:
		return g.define(t)
	case reflect.Slice, reflect.Array:
		return &Schema{Type: Types{"array"}, Items: g.of(t.Elem())}
	case reflect.Map:
		return &Schema{Type: Types{"object"}, AdditionalProperties: g.of(t.Elem())}
	case reflect.String:
		if enums[t] != nil {
			return g.define(t)
		}
		return &Schema{Type: Types{"string"}}
	case reflect.Bool:
		return &Schema{Type: Types{"boolean"}}
	case reflect.Float64:
		return &Schema{Type: Types{"number"}}
	case reflect.Int, reflect.Int64:
		return &Schema{Type: Types{"integer"}}
	}
	panic("schema: no document has a value of type " + t.String())
}

// define puts a named type among the definitions and refers to it.
func (g *generator) define(t reflect.Type) *Schema {
	ref := &Schema{Ref: "#/$defs/" + t.Name()}
	if slices.ContainsFunc(g.defs, func(p Property) bool { return p.Name == t.Name() }) {
		return ref
	}
	if t.Kind() == reflect.String {
		g.defs = append(g.defs, Property{t.Name(), &Schema{Type: Types{"string"}, Enum: enums[t]}})
		return ref
	}
	s := &Schema{Type: Types{"object"}}
	g.defs = append(g.defs, Property{t.Name(), s})
	g.fields(s, t)
	if i := slices.IndexFunc(s.Properties, func(p Property) bool { return p.Name == "schema" }); i >= 0 {
		s.Properties[i].Const = schemas[t]
	}
	return ref
}

// fields adds a struct's fields as encoding/json writes them; those of embedded structs are its own.
func (g *generator) fields(s *Schema, t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			g.fields(s, f.Type)
			continue
		}
		if !f.IsExported() || name == "" || name == "-" {
			continue
		}
		field := g.of(f.Type)
		// What may be left out is left out instead of null; a struct is never left out.
		switch optional := options == "omitempty" && f.Type.Kind() != reflect.Struct; {
		case optional && f.Type.Kind() == reflect.Pointer:
			field = g.of(f.Type.Elem())
		case !optional && (f.Type.Kind() == reflect.Slice || f.Type.Kind() == reflect.Map) && !neverNull[t.Name()+"."+f.Name]:
			field = nullable(field)
			fallthrough
		case !optional:
			s.Required = append(s.Required, name)
		}
		field.Description = g.words[t.Name()][name]
		s.Properties = append(s.Properties, Property{name, field})
	}
}

// nullable allows null beside what s allows.
func nullable(s *Schema) *Schema {
	if s.Ref != "" {
		return &Schema{AnyOf: []*Schema{s, {Type: Types{"null"}}}}
	}
	s.Type = append(s.Type, "null")
	return s
}
