import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.Statement;
import java.util.List;

/** What the driver (18.3.0) does not do, whatever the server answers. */
final class DriverLacks extends Checks {
    static void checks() {
        lacks("index info", "no indexes", con -> {
            makeTable(con);
            holds(!names(con.getMetaData().getIndexInfo(null, "main", "jdbc_m", false, true), "INDEX_NAME").isEmpty(), "no indexes");
        });
        lacks("functions", "no functions", con -> holds(!names(con.getMetaData().getFunctions(null, null, "%"), "FUNCTION_NAME").isEmpty(), "no functions"));
        lacks("procedures", "no procedures", con -> holds(!names(con.getMetaData().getProcedures(null, null, "%"), "PROCEDURE_NAME").isEmpty(), "no procedures"));
        lacks("type info", "no types", con -> holds(!names(con.getMetaData().getTypeInfo(), "TYPE_NAME").isEmpty(), "no types"));
        lacks("a connection that is not read-only", "want false, have true", con -> equal(false, con.isReadOnly()));
        lacks("escapes in a pattern of column names", "want [a_b], have []", con -> {
            makeTable(con);
            run(con, "ALTER TABLE jdbc_m_child ADD COLUMN a_b INTEGER");
            equal(List.of("a_b"), names(con.getMetaData().getColumns(null, "main", "jdbc_m_child", "a\\_b"), "COLUMN_NAME"));
        });
        lacks("the row's number beyond a batch", "want 2049, have 1", con -> {
            try (Statement st = con.createStatement(); ResultSet r = st.executeQuery("FROM range(10000)")) {
                for (int i = 1; i <= 10000; i++) {
                    holds(r.next(), "a row");
                    equal(i, r.getRow());
                }
            }
        });
        lacks("autocommit off", "rollback() left the table", con -> {
            con.setAutoCommit(false);
            run(con, "CREATE OR REPLACE TABLE jdbc_auto (x INTEGER)");
            con.rollback();
            holds(names(con.getMetaData().getTables(null, "main", "jdbc_auto", null), "TABLE_NAME").isEmpty(), "rollback() left the table");
        });
        lacks("savepoints", "SQLFeatureNotSupported", con -> con.setSavepoint());
        lacks("batch of statements", "updateCounts", con -> {
            try (Statement st = con.createStatement()) {
                st.addBatch("SELECT 1");
                st.executeBatch();
            }
        });
        lacks("default isolation, which it wants as 64 bits where Flight SQL has 32", "Cannot cast java.lang.Integer to java.lang.Long", con -> con.getMetaData().getDefaultTransactionIsolation());
        lacks("columns of an empty result, once", "want [a], have [a, a]", con -> {
            try (Statement st = con.createStatement(); ResultSet r = st.executeQuery("SELECT 1 AS a WHERE false")) {
                equal(List.of("a"), labels(r));
            }
        });
        lacks("objects of TIMESTAMP WITH TIME ZONE", "not implemented", con -> {
            try (Statement st = con.createStatement(); ResultSet r = st.executeQuery("SELECT now()")) {
                r.next();
                r.getObject(1);
            }
        });
        lacks("statements closed with their connection", "want true, have false", con -> {
            Statement st = con.createStatement();
            con.close();
            equal(true, st.isClosed());
        });
        lacks("setSchema", "want ai, have main", con -> {
            con.setSchema("ai");
            equal("ai", value(con, "SELECT current_schema()"));
        });
        lacks("closing a connection that named its catalog", "Channel shutdown invoked", con -> {
            try (Connection named = connect("catalog", "hyprstream")) {
                equal("hyprstream", value(named, "SELECT current_database()"));
            }
        });
        lacks("updatable results", "SQLFeatureNotSupported", con -> {
            try (Statement st = con.createStatement(ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_UPDATABLE); ResultSet r = st.executeQuery("SELECT 1 AS x")) {
                r.next();
                r.updateInt(1, 2);
            }
        });
        lacks("generated keys", "SQLFeatureNotSupported", con -> {
            try (PreparedStatement st = con.prepareStatement("SELECT 1", Statement.RETURN_GENERATED_KEYS)) {
                holds(st.getGeneratedKeys() != null, "no keys");
            }
        });
    }
}
