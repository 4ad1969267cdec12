package rest

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"net/http"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"hyprstream/errs"
)

type embeddingRequest struct {
	Model          string     `json:"model"`
	Input          stringList `json:"input"`
	EncodingFormat string     `json:"encoding_format"`
	Dimensions     *int       `json:"dimensions"`
}

// maxInputs is OpenAI's own limit.
const maxInputs = 2048

func (e *embeddingRequest) check() error {
	switch {
	case len(e.Input) == 0:
		return badParam("input", "input must be a string or a list of strings")
	case len(e.Input) > maxInputs:
		return badParam("input", "input may have at most %d strings, not %d; more rows are a query of /v1/sql", maxInputs, len(e.Input))
	case e.EncodingFormat != "" && e.EncodingFormat != "float" && e.EncodingFormat != "base64":
		return badParam("encoding_format", "encoding_format must be float or base64, not %q", e.EncodingFormat)
	case e.Dimensions != nil:
		return unsupportedParam("dimensions", "dimensions is not supported; vectors have the model's own")
	}
	return nil
}

// embeddingStatement asks for all vectors at once, each with its place, the
// number of its text's tokens and the model's name.
func embeddingStatement(e *embeddingRequest) *statement {
	st := &statement{}
	model, name := "", "(SELECT name FROM ai.models WHERE is_default)"
	if e.Model != "" {
		name = st.bind(e.Model) + "::VARCHAR"
		model = name + ", "
	}
	fmt.Fprintf(&st.sql, "SELECT i, embed(%st, on_error := 'fail'), count_tokens(%st), %s FROM (SELECT unnest(range(%d)) AS i, unnest(%s) AS t)",
		model, model, name, len(e.Input), st.list(e.Input))
	return st
}

type embeddingData struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"` // numbers, or base64 of little-endian floats
}

type embeddingAnswer struct {
	Object string          `json:"object"`
	Data   []embeddingData `json:"data"`
	Model  string          `json:"model"`
	Usage  embeddingUsage  `json:"usage"`
}

// embeddingUsage counts the texts' own tokens, without those that the model's
// tokenizer puts around them.
type embeddingUsage struct {
	PromptTokens int `json:"prompt_tokens"`
	TotalTokens  int `json:"total_tokens"`
}

func (s *server) embeddings(w http.ResponseWriter, r *http.Request) {
	var req embeddingRequest
	err := readJSON(r, &req)
	if err == nil {
		err = req.check()
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	st := embeddingStatement(&req)
	res, release, err := s.query(w, r, st.sql.String(), st.args)
	if err != nil {
		s.fail(w, r, adviseModel(err, req.Model))
		return
	}
	defer release()
	out := embeddingAnswer{Object: "list"}
	err = eachRow(r.Context(), res, func(batch arrow.RecordBatch, i int) error {
		v, err := floatsAt(batch, 1, i)
		if err != nil {
			return err
		}
		d := embeddingData{Object: "embedding", Index: intAt(batch, 0, i), Embedding: v}
		if req.EncodingFormat == "base64" {
			d.Embedding = base64Floats(v)
		}
		out.Data = append(out.Data, d)
		out.Usage.PromptTokens += intAt(batch, 2, i)
		out.Model = stringAt(batch, 3, i)
		return nil
	})
	if err != nil {
		s.fail(w, r, adviseModel(err, req.Model))
		return
	}
	out.Usage.TotalTokens = out.Usage.PromptTokens
	writeJSON(w, http.StatusOK, out)
}

// floatsAt reads a column of vectors; the values are a copy.
func floatsAt(batch arrow.RecordBatch, c, i int) ([]float32, error) {
	list, ok := batch.Column(c).(array.ListLike) // FLOAT[], or FLOAT[n] where the model is named
	if !ok || list.IsNull(i) {
		return nil, errs.New(errs.Internal, "rest", "row %d has no vector", i)
	}
	values, ok := list.ListValues().(*array.Float32)
	if !ok {
		return nil, errs.New(errs.Internal, "rest", "a vector is of %s", list.ListValues().DataType())
	}
	from, to := list.ValueOffsets(i)
	return append([]float32(nil), values.Float32Values()[from:to]...), nil
}

func base64Floats(v []float32) string {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return base64.StdEncoding.EncodeToString(b)
}
