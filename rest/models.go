package rest

import (
	"net/http"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/go-chi/chi/v5"

	"hyprstream/errs"
)

// modelBody is OpenAI's model object, with what ai.models knows beside it.
type modelBody struct {
	ID            string `json:"id"`
	Object        string `json:"object"`
	Created       int64  `json:"created"`
	OwnedBy       string `json:"owned_by"`
	Architecture  string `json:"architecture"`
	Parameters    int    `json:"parameters"`
	Quantisation  string `json:"quantisation"`
	ContextLength int    `json:"context_length"`
	State         string `json:"state"`
	IsDefault     bool   `json:"is_default"`
}

const modelColumns = `SELECT name, epoch(created_at)::BIGINT, architecture, parameters::BIGINT, quantisation,
	context_length::BIGINT, state::VARCHAR, is_default FROM ai.models`

func (s *server) models(w http.ResponseWriter, r *http.Request) {
	list, err := s.listModels(w, r, modelColumns+" ORDER BY is_default DESC, name", nil)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": list})
}

func (s *server) model(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "*")
	list, err := s.listModels(w, r, modelColumns+" WHERE name = $1", []any{name})
	if err == nil && len(list) == 0 {
		err = adviseModel(errs.New(errs.ModelNotFound, "rest", "there is no model %q; GET /v1/models lists those there are", name), name)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, list[0])
}

func (s *server) listModels(w http.ResponseWriter, r *http.Request, sql string, args []any) ([]modelBody, error) {
	res, release, err := s.query(w, r, sql, args)
	if err != nil {
		return nil, err
	}
	defer release()
	list := []modelBody{}
	err = eachRow(r.Context(), res, func(b arrow.RecordBatch, i int) error {
		list = append(list, modelBody{
			ID:            stringAt(b, 0, i),
			Object:        "model",
			Created:       int64At(b, 1, i),
			OwnedBy:       "hyprstream",
			Architecture:  stringAt(b, 2, i),
			Parameters:    intAt(b, 3, i),
			Quantisation:  stringAt(b, 4, i),
			ContextLength: intAt(b, 5, i),
			State:         stringAt(b, 6, i),
			IsDefault:     boolAt(b, 7, i),
		})
		return nil
	})
	return list, err
}

func int64At(batch arrow.RecordBatch, c, i int) int64 {
	col, ok := batch.Column(c).(*array.Int64)
	if !ok || col.IsNull(i) {
		return 0
	}
	return col.Value(i)
}
