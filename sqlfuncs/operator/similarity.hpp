// The cosine of two vectors. DuckDB's own looks at the elements of NULL arrays too, and
// refuses a whole column of vectors for one row that has none.
#pragma once
#include "duckdb/common/vector.hpp"
#include "duckdb/common/types/data_chunk.hpp"
#include "duckdb/execution/expression_executor.hpp"
#include "duckdb/function/scalar_function.hpp"
#include <cmath>

// The library is compiled for any processor of its kind; this loop is worth more than one form.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define HS_CLONES __attribute__((target_clones("arch=x86-64-v3", "default"), optimize("O3")))
#else
#define HS_CLONES
#endif

namespace hyprstream {
using namespace duckdb;

static const char *const SIMILARITY = "__similarity";

//! Partial sums that do not wait for one another: the compiler puts them side by side in registers.
static constexpr idx_t LANES = 32;

HS_CLONES static double Dot(const float *a, const float *b, idx_t n) {
	float lane[LANES] = {};
	idx_t i = 0;
	for (; i + LANES <= n; i += LANES) {
		for (idx_t l = 0; l < LANES; l++) {
			lane[l] += a[i + l] * b[i + l];
		}
	}
	double sum = 0;
	for (idx_t l = 0; l < LANES; l++) {
		sum += double(lane[l]);
	}
	for (; i < n; i++) {
		sum += double(a[i]) * double(b[i]);
	}
	return sum;
}

static double Dot(const double *a, const double *b, idx_t n) {
	double sum = 0;
	for (idx_t i = 0; i < n; i++) {
		sum += a[i] * b[i];
	}
	return sum;
}

//! One argument: lists or arrays of T.
template <class T>
class Vectors {
public:
	Vectors(Vector &v, idx_t rows) : array(v.GetType().id() == LogicalTypeId::ARRAY) {
		v.ToUnifiedFormat(rows, outer);
		auto &inner = array ? ArrayVector::GetEntry(v) : ListVector::GetEntry(v);
		inner.ToUnifiedFormat(array ? ArrayVector::GetTotalSize(v) : ListVector::GetListSize(v), numbers);
		size = array ? ArrayType::GetSize(v.GetType()) : 0;
		constant = v.GetVectorType() == VectorType::CONSTANT_VECTOR;
	}
	//! Of row r; null where it is NULL. Valid until the next call.
	const T *Get(idx_t r, idx_t &length) {
		auto ix = outer.sel->get_index(r);
		if (!outer.validity.RowIsValid(ix)) {
			return nullptr;
		}
		list_entry_t l(ix * size, size);
		if (!array) {
			l = UnifiedVectorFormat::GetData<list_entry_t>(outer)[ix];
		}
		length = l.length;
		for (idx_t i = 0; i < l.length && !numbers.validity.AllValid(); i++) {
			if (!numbers.validity.RowIsValid(numbers.sel->get_index(l.offset + i))) {
				throw InvalidInputException("[INVALID_ARGUMENT] similarity: a vector holds a NULL");
			}
		}
		auto data = UnifiedVectorFormat::GetData<T>(numbers);
		if (!numbers.sel->IsSet() && l.length > 0) {
			return data + l.offset;
		}
		gathered.assign(l.length + 1, 0); // never empty: null is NULL
		for (idx_t i = 0; i < l.length; i++) {
			gathered[i] = data[numbers.sel->get_index(l.offset + i)];
		}
		return gathered.data();
	}
	//! The sum of v's squares; that of a constant is computed once.
	double Square(const T *v, idx_t n) {
		if (!constant || !squared) {
			square = Dot(v, v, n);
			squared = true;
		}
		return square;
	}

private:
	bool array, constant, squared = false;
	idx_t size;
	double square = 0;
	UnifiedVectorFormat outer, numbers;
	std::vector<T> gathered;
};

template <class T>
static void Similarity(DataChunk &args, ExpressionState &, Vector &result) {
	const idx_t rows = args.size();
	Vectors<T> left(args.data[0], rows), right(args.data[1], rows);
	result.SetVectorType(VectorType::FLAT_VECTOR);
	auto out = FlatVector::GetData<double>(result);
	for (idx_t r = 0; r < rows; r++) {
		idx_t n = 0, m = 0;
		auto a = left.Get(r, n), b = right.Get(r, m);
		if (!a || !b) {
			FlatVector::SetNull(result, r, true);
			continue;
		}
		if (n != m) {
			throw InvalidInputException("[INVALID_ARGUMENT] similarity: the vectors have %d and %d numbers; embed both with one model", n, m);
		}
		double both = std::sqrt(left.Square(a, n) * right.Square(b, n));
		if (both == 0) { // one of them points nowhere
			FlatVector::SetNull(result, r, true);
			continue;
		}
		out[r] = std::max(-1.0, std::min(Dot(a, b, n) / both, 1.0));
	}
	if (args.AllConstant()) {
		result.SetVectorType(VectorType::CONSTANT_VECTOR);
	}
}

//! The element's type where t is a list or an array.
static LogicalTypeId ElementOf(const LogicalType &t) {
	return t.id() == LogicalTypeId::LIST    ? ListType::GetChildType(t).id()
	       : t.id() == LogicalTypeId::ARRAY ? ArrayType::GetChildType(t).id()
	                                        : LogicalTypeId::INVALID;
}

//! Arrays stay arrays, all else becomes lists: of FLOAT where one side has FLOATs, as models give them.
static unique_ptr<FunctionData> BindSimilarity(ClientContext &, ScalarFunction &f, vector<unique_ptr<Expression>> &args) {
	LogicalType element = LogicalType::DOUBLE;
	for (auto &a : args) {
		if (ElementOf(a->return_type) == LogicalTypeId::FLOAT) {
			element = LogicalType::FLOAT;
		}
	}
	for (idx_t i = 0; i < args.size(); i++) {
		auto &t = args[i]->return_type;
		f.arguments[i] = t.id() == LogicalTypeId::ARRAY ? LogicalType::ARRAY(element, ArrayType::GetSize(t)) : LogicalType::LIST(element);
	}
	f.SetFunctionCallback(element.id() == LogicalTypeId::FLOAT ? Similarity<float> : Similarity<double>);
	return nullptr;
}

static ScalarFunction MakeSimilarity() {
	ScalarFunction f(SIMILARITY, {LogicalType::ANY, LogicalType::ANY}, LogicalType::DOUBLE, Similarity<double>, BindSimilarity);
	f.SetNullHandling(FunctionNullHandling::SPECIAL_HANDLING);
	f.SetFallible();
	return f;
}
} // namespace hyprstream
