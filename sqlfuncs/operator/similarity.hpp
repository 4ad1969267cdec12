// The cosine of two vectors. DuckDB's own looks at the elements of NULL arrays too, and
// refuses a whole column of vectors for one row that has none.
#pragma once
#include "duckdb/common/vector.hpp"
#include "duckdb/common/types/data_chunk.hpp"
#include "duckdb/execution/expression_executor.hpp"
#include "duckdb/function/scalar_function.hpp"
#include <cmath>

namespace hyprstream {
using namespace duckdb;

//! Throws where a or b holds a NULL.
static void NoNulls(const UnifiedVectorFormat &f, const list_entry_t &l) {
	for (idx_t i = 0; i < l.length && !f.validity.AllValid(); i++) {
		if (!f.validity.RowIsValid(f.sel->get_index(l.offset + i))) {
			throw InvalidInputException("[INVALID_ARGUMENT] similarity: a vector holds a NULL");
		}
	}
}

static void Similarity(DataChunk &args, ExpressionState &, Vector &result) {
	const idx_t n = args.size();
	UnifiedVectorFormat lists[2], numbers[2];
	for (idx_t k = 0; k < 2; k++) {
		args.data[k].ToUnifiedFormat(n, lists[k]);
		ListVector::GetEntry(args.data[k]).ToUnifiedFormat(ListVector::GetListSize(args.data[k]), numbers[k]);
	}
	result.SetVectorType(VectorType::FLAT_VECTOR);
	auto out = FlatVector::GetData<double>(result);
	for (idx_t r = 0; r < n; r++) {
		list_entry_t l[2];
		bool null = false;
		for (idx_t k = 0; k < 2; k++) {
			auto ix = lists[k].sel->get_index(r);
			null = null || !lists[k].validity.RowIsValid(ix);
			l[k] = UnifiedVectorFormat::GetData<list_entry_t>(lists[k])[ix];
		}
		if (null) {
			FlatVector::SetNull(result, r, true);
			continue;
		}
		if (l[0].length != l[1].length) {
			throw InvalidInputException("[INVALID_ARGUMENT] similarity: the vectors have %d and %d numbers; embed both with one model",
			                            l[0].length, l[1].length);
		}
		double dot = 0, square[2] = {0, 0};
		const double *d[2];
		for (idx_t k = 0; k < 2; k++) {
			NoNulls(numbers[k], l[k]);
			d[k] = UnifiedVectorFormat::GetData<double>(numbers[k]);
		}
		for (idx_t i = 0; i < l[0].length; i++) {
			double a = d[0][numbers[0].sel->get_index(l[0].offset + i)], b = d[1][numbers[1].sel->get_index(l[1].offset + i)];
			dot += a * b;
			square[0] += a * a;
			square[1] += b * b;
		}
		double both = std::sqrt(square[0] * square[1]);
		if (both == 0) { // one of them points nowhere
			FlatVector::SetNull(result, r, true);
			continue;
		}
		out[r] = std::max(-1.0, std::min(dot / both, 1.0));
	}
	if (args.AllConstant()) {
		result.SetVectorType(VectorType::CONSTANT_VECTOR);
	}
}

static ScalarFunction MakeSimilarity() {
	auto list = LogicalType::LIST(LogicalType::DOUBLE);
	ScalarFunction f("__similarity", {list, list}, LogicalType::DOUBLE, Similarity);
	f.SetNullHandling(FunctionNullHandling::SPECIAL_HANDLING);
	f.SetFallible();
	return f;
}
} // namespace hyprstream
