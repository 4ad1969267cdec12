package inference

import (
	"crypto/sha256"
	"encoding/hex"
)

// Lineage is what an answer came from.
type Lineage struct {
	Model          string        `json:"model"`
	ModelSHA256    string        `json:"model_sha256"` // of its file
	Adapters       []AdapterUsed `json:"adapters"`
	TemplateSHA256 *string       `json:"template_sha256"` // of the chat template's source; nil: none was used
	Engine         string        `json:"engine"`          // llama.cpp's build
	Seed           *uint32       `json:"seed"`            // nil: nothing was drawn
}

// AdapterUsed is an adapter by name and file, with the scale that it had in all.
// A blend is one for each of its parts, named "blend/part".
type AdapterUsed struct {
	Name   string  `json:"name"`
	SHA256 string  `json:"sha256"`
	Scale  float32 `json:"scale"`
}

// lineage is a row's, as far as the process that answers it is known.
func (g *group) lineage(l *live, r *row) *Lineage {
	out := &Lineage{Model: l.model.Name, ModelSHA256: l.model.SHA256, Engine: l.info.Build, Adapters: []AdapterUsed{}}
	for _, use := range r.req.Adapters {
		for _, f := range g.adapters[use].files {
			out.Adapters = append(out.Adapters, AdapterUsed{f.name, f.sha256, f.scale})
		}
	}
	if r.req.Params.Temperature > 0 {
		seed := r.req.Params.Seed
		out.Seed = &seed
	}
	if l.template != nil && !r.req.Raw {
		out.TemplateSHA256 = &l.template.digest
	}
	return out
}

// digestOfText is the SHA-256 of a text, in hexadecimal.
func digestOfText(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
