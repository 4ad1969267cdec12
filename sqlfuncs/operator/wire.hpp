// As which type values of each DuckDB type leave for clients, and the casts to it: text where
// DuckDB's own Arrow form loses something or means nothing to a client. docs/types.md is
// the table that clients read.
#pragma once
#include "duckdb/common/error_data.hpp"
#include "duckdb/common/type_visitor.hpp"
#include "duckdb/common/types/data_chunk.hpp"
#include "duckdb/common/types/value.hpp"
#include "duckdb/common/vector_operations/vector_operations.hpp"
#include "duckdb/main/connection.hpp"
#include <cstring>

namespace hyprstream {

//! Lossy says of a type without parts that its Arrow form is DuckDB's own bytes, loses
//! something, or is read as something else by drivers: its values leave as text.
static bool Lossy(const LogicalType &type) {
	switch (type.id()) {
	case LogicalTypeId::BIT:      // DuckDB's bytes, padded
	case LogicalTypeId::BIGNUM:   // DuckDB's bytes
	case LogicalTypeId::TIME_TZ:  // a time without its offset
	case LogicalTypeId::UHUGEINT: // decimal(38, 0), negative from 2^127 on
	case LogicalTypeId::ENUM:     // a dictionary, which JDBC reads as numbers
	case LogicalTypeId::VARIANT:  // none
	case LogicalTypeId::GEOMETRY: // bytes whose meaning is in the field's metadata
		return true;
	default:
		return false;
	}
}

//! Signed is the signed type that holds all values of an unsigned one, else the type.
static LogicalType Signed(const LogicalType &type) {
	switch (type.id()) {
	case LogicalTypeId::UTINYINT:
		return LogicalType::SMALLINT;
	case LogicalTypeId::USMALLINT:
		return LogicalType::INTEGER;
	case LogicalTypeId::UINTEGER:
		return LogicalType::BIGINT;
	case LogicalTypeId::UBIGINT:
		return LogicalType::DECIMAL(20, 0);
	default:
		return type;
	}
}

static LogicalType WireType(const LogicalType &type, bool no_unsigned) {
	auto changes = [&](const LogicalType &t) { return Lossy(t) || (no_unsigned && Signed(t) != t); };
	if (!TypeVisitor::Contains(type, changes)) {
		return type;
	}
	return TypeVisitor::VisitReplace(type, [&](const LogicalType &t) {
		return Lossy(t) ? LogicalType(LogicalType::VARCHAR) : no_unsigned ? Signed(t) : t;
	});
}

//! CheckIntervals refuses what Arrow's nanoseconds cannot hold; DuckDB would wrap it around.
static void CheckIntervals(Vector &vector, idx_t count) {
	if (!TypeVisitor::Contains(vector.GetType(), LogicalTypeId::INTERVAL)) {
		return;
	}
	Vector v(vector); // flattening leaves the chunk's own as it is
	v.Flatten(count);
	switch (v.GetType().id()) {
	case LogicalTypeId::INTERVAL: {
		auto values = FlatVector::GetData<interval_t>(v);
		auto &valid = FlatVector::Validity(v);
		for (idx_t i = 0; i < count; i++) {
			const int64_t most = NumericLimits<int64_t>::Maximum() / Interval::NANOS_PER_MICRO;
			if (valid.RowIsValid(i) && (values[i].micros > most || values[i].micros < -most)) {
				throw OutOfRangeException("The interval %s has more hours than Arrow's nanoseconds hold (292 years): cast it to VARCHAR",
				                          Interval::ToString(values[i]));
			}
		}
		return;
	}
	case LogicalTypeId::LIST:
	case LogicalTypeId::MAP:
		return CheckIntervals(ListVector::GetEntry(v), ListVector::GetListSize(v));
	case LogicalTypeId::ARRAY:
		return CheckIntervals(ArrayVector::GetEntry(v), count * ArrayType::GetSize(v.GetType()));
	default:
		for (auto &part : StructVector::GetEntries(v)) {
			CheckIntervals(*part, count);
		}
	}
}

static unique_ptr<DataChunk> WireCast(ClientContext &context, DataChunk &in, void **types, size_t n, bool leaving) {
	vector<LogicalType> to;
	for (size_t i = 0; i < n; i++) {
		to.push_back(types[i] ? *static_cast<LogicalType *>(types[i]) : in.data[i].GetType());
	}
	auto out = make_uniq<DataChunk>();
	out->InitializeEmpty(to);
	for (size_t i = 0; i < n; i++) {
		if (in.data[i].GetType() == to[i]) {
			out->data[i].Reference(in.data[i]);
		} else {
			Vector cast(to[i], MaxValue<idx_t>(in.size(), 1));
			VectorOperations::Cast(context, in.data[i], cast, in.size());
			out->data[i].Reference(cast);
		}
		if (leaving) {
			CheckIntervals(out->data[i], in.size());
		}
	}
	out->SetCardinality(in.size());
	return out;
}

} // namespace hyprstream

extern "C" void *hs_wire_type(void *type, int no_unsigned, int *same) {
	auto &from = *static_cast<LogicalType *>(type);
	auto to = new LogicalType(WireType(from, no_unsigned != 0));
	*same = *to == from && !TypeVisitor::Contains(from, LogicalTypeId::INTERVAL);
	return to;
}

extern "C" void *hs_cast(void *connection, void *chunk, void **types, size_t n, char **error) {
	try {
		auto &context = *static_cast<Connection *>(connection)->context;
		return WireCast(context, *static_cast<DataChunk *>(chunk), types, n, false).release();
	} catch (std::exception &e) {
		*error = strdup(ErrorData(e).Message().c_str());
	} catch (...) {
		*error = strdup("INTERNAL Error: casting rows failed");
	}
	return nullptr;
}

extern "C" void *hs_union(void *type, size_t tag, void *value) {
	try {
		auto members = UnionType::CopyMemberTypes(*static_cast<LogicalType *>(type));
		auto member = static_cast<Value *>(value)->DefaultCastAs(members.at(tag).second);
		return new Value(Value::UNION(members, static_cast<uint8_t>(tag), std::move(member)));
	} catch (...) {
		return nullptr;
	}
}
