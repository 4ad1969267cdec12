// Taking away functions of DuckDB's own that its configuration lock does not cover.
#pragma once
#include "hsop.h"
#include "duckdb.hpp"
#include "duckdb/catalog/catalog.hpp"
#include "duckdb/main/capi/capi_internal.hpp"
#include "duckdb/parser/parsed_data/drop_info.hpp"

using namespace duckdb;

extern "C" int hs_withhold(void *dbp, const char *name, char *err, size_t errlen) {
	try {
		Connection con(*reinterpret_cast<DatabaseWrapper *>(dbp)->database->instance);
		con.context->RunFunctionInTransaction([&]() {
			auto &system = Catalog::GetSystemCatalog(*con.context);
			for (auto type : {CatalogType::TABLE_FUNCTION_ENTRY, CatalogType::PRAGMA_FUNCTION_ENTRY}) {
				if (!system.GetEntry(*con.context, type, DEFAULT_SCHEMA, name, OnEntryNotFound::RETURN_NULL)) {
					continue;
				}
				DropInfo info;
				info.type = type;
				info.schema = DEFAULT_SCHEMA;
				info.name = name;
				info.allow_drop_internal = true;
				system.DropEntry(*con.context, info);
			}
		});
		return 0;
	} catch (std::exception &e) {
		snprintf(err, errlen, "%s", e.what());
	} catch (...) {
		snprintf(err, errlen, "unknown C++ exception");
	}
	return 1;
}
